"""MAML with TRPO as its outer loop, as it was published (arXiv:1703.03400): the baseline of Meta-World's tables."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from .. import sharding
from ..learning.distributions import Dist
from ..learning.optim import init_run_state
from ..learning.trust_region import TrustRegionConfig, gauss_newton_product, line_search, natural_step
from ..policies import PolicyConfig, make_policy
from ..types import Algorithm, Array, Kept, Key, MetaEnv, Metrics, Params, RunState, Suite
from .inner_loop import InnerLoop, InnerLoopConfig, Trial
from .meta_learner import check_meta_gradient, check_task_chunks, default_task_chunks, make_meta_learner
from .ppo_update import Batch, Rows, Weights, clipped_loss, mean_metrics, mean_over_chunks


@dataclasses.dataclass(frozen=True)
class MamlTrpoConfig:
    """Knobs of MAML-TRPO."""

    name: ClassVar[str] = "maml-trpo"

    num_tasks: int = 20
    """Tasks per meta-iteration."""
    envs_per_task: int = 10
    """Episodes of each task in each round: before each inner step and after the last."""
    inner: InnerLoopConfig = InnerLoopConfig()
    """Adaptation to one task. Learned step sizes are parameters like others: the trust region is one of adapted policies."""
    first_order: bool = False
    """Take the inner gradient as a constant, in the surrogate and in the KL."""
    task_chunks: int | None = None
    """Parts of a device's tasks whose gradients and products with the Hessian are taken one after the other: as many times less
    memory for them, and the same mean. None: on CPU parts of at most 4 tasks per device; elsewhere one part."""
    trust_region: TrustRegionConfig = TrustRegionConfig()
    """Outer step."""

    def __post_init__(self):
        check_meta_gradient(self)
        check_task_chunks("iterations", self.num_tasks, self.task_chunks)


def make(config: MamlTrpoConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm; nothing in it follows a schedule over the `iterations` of a run."""
    policy = make_policy(policy_config, env.spec)
    inner = InnerLoop(config.inner, env, policy, config.first_order)

    def init(key: Key) -> RunState:
        return init_run_state(inner.init(key), optax.identity(), policy.init_stats(), Kept())

    def update(state: RunState, trial: Trial, key: Key) -> tuple[RunState, Metrics]:
        chunks = config.task_chunks or default_task_chunks(config.num_tasks, sharding.task_devices())
        params, metrics = outer_step(config.trust_region, inner, state, trial, chunks)
        return state._replace(params=params), metrics

    return make_meta_learner(inner, (config.num_tasks, config.envs_per_task), init, update)


def outer_step(
    config: TrustRegionConfig, inner: InnerLoop, state: RunState, trial: Trial, chunks: int
) -> tuple[Params, Metrics]:
    """TRPO's step of the meta-parameters, on the policies that are adapted from them.

    Args:
      config: of the step.
      inner: the inner loop to differentiate through.
      state: with the meta-parameters that the trial began with; its `lr_scale` shortens the step.
      trial: of N tasks.
      chunks: equal parts of these, taken one after the other.

    Returns:
      Meta-parameters, the old ones where no step was accepted, and metrics of both.
    """
    rows = trial.support, trial.query

    def loss(meta: Params, rows: Rows) -> tuple[Array, Metrics]:
        return adapted_loss(meta, inner, *rows)

    def gradient_of(rows: Rows, meta: Params) -> tuple[Params, Metrics]:
        return jax.grad(loss, has_aux=True)(meta, rows)

    def product_of(rows: Rows, given: tuple[Params, Params]) -> tuple[Params, Metrics]:
        support, query = rows

        def kl(dist: Dist) -> Array:
            return jnp.mean(inner.policy.distribution.kl(query.dist, dist))

        return gauss_newton_product(lambda meta: adapted_dist(meta, inner, support, query), kl, *given), {}

    def product(vector: Params) -> Params:
        return mean_over_chunks(product_of, state.params, rows, (state.params, vector), chunks)[0]

    def measure(meta: Params) -> Metrics:
        return mean_over_chunks(lambda rows, meta: ((), loss(meta, rows)[1]), (), rows, meta, chunks)[1]

    gradient, before = mean_over_chunks(gradient_of, state.params, rows, state.params, chunks)
    natural = natural_step(config, gradient, product)
    search = line_search(config, measure, state.params, before, natural.step, state.lr_scale)
    return search.params, search.parts | {
        "surrogate_before": before["surrogate"],
        "first_ratio_error": before["ratio_error"],
        "outer_grad_norm": optax.tree.norm(gradient),
        "cg_residual": natural.residual,
        "step_size": search.size,
        "accepted": 1.0 * search.accepted,
        "backtracks": search.tries - search.accepted,
    }


def adapted_loss(meta: Params, inner: InnerLoop, support: list[Batch], query: Batch) -> tuple[Array, Metrics]:
    """TRPO's surrogate loss of the adapted policies, and their `kl` from those that gathered the query round.

    Both are functions of the meta-parameters from which the policies are adapted. At those of the sampling time the KL is 0
    and so is its gradient: there its Hessian is J' F J, F the Fisher matrix of the adapted distributions and J their
    Jacobian, through the inner steps.

    Args:
      meta: meta-parameters (`InnerLoop.init`).
      inner: the inner loop to differentiate through.
      support: K batches of `[N, B, ...]`, which adapt the policies.
      query: `[N, B, ...]`, gathered by the policies adapted from the meta-parameters of the sampling time.

    Returns:
      Mean over tasks of -E[pi / pi_old A], `[]`, and beside it what else there is to say of the policies.
    """

    def task_loss(dist: Dist, query: Batch) -> tuple[Array, Metrics]:
        return clipped_loss(inner.policy, dist, query, clip=float("inf"), weights=Weights(entropy=0.0, kl=0.0))

    loss, parts = jax.vmap(task_loss)(adapted_dist(meta, inner, support, query), query)
    return loss.mean(), mean_metrics(parts)


def adapted_dist(meta: Params, inner: InnerLoop, support: list[Batch], query: Batch) -> Dist:
    """Action distributions of the adapted policies where the query round was, `[N, B]`; see `adapted_loss`."""

    def of_task(support: list[Batch], query: Batch) -> Dist:
        return inner.policy.dist(inner.adapt(meta, meta["policy"], support)[0], query.context)

    return jax.vmap(of_task)(support, query)
