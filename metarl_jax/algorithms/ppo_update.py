"""PPO's update, shared by PPO and by the outer loop of MAML-PPO: what one step minimises, and the epochs around it."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import sharding
from ..errors import ConfigError, nearest_divisors
from ..learning import losses
from ..learning.distributions import Dist
from ..learning.optim import apply_gradients
from ..policies import Context, Policy
from ..types import Array, Kept, Key, Metrics, Params, RunState


@dataclasses.dataclass(frozen=True)
class PpoUpdateConfig:
    """Knobs of PPO's update (arXiv:1707.06347)."""

    epochs: int = 5
    """Passes over the data per iteration."""
    minibatches: int = 1
    """Parts that each pass is split into (of steps in ppo, of tasks in maml-ppo)."""
    clip: float = 0.2
    """Bound on the change of the probability ratio."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus at the start."""
    entropy_coef_final: float = 0.0
    """Weight of the entropy bonus at the end; it moves linearly."""
    kl_coef: float = 0.0
    """Weight of KL(old || new) at the start."""
    kl_target: float = 0.0
    """Where above 0, the weight of KL(old || new) is adapted to hold it near this."""

    def __post_init__(self):
        if min(self.epochs, self.minibatches) < 1:
            raise ConfigError("update.epochs and update.minibatches must be at least 1.")
        if not 0.0 < self.clip < float("inf"):
            raise ConfigError(f"update.clip must be positive and finite, not {self.clip}.")
        coefs = (self.entropy_coef, self.entropy_coef_final, self.kl_coef, self.kl_target)
        if not all(0.0 <= c < float("inf") for c in coefs):
            raise ConfigError(
                "update: entropy_coef, entropy_coef_final, kl_coef and kl_target must be finite and >= 0."
            )

    def check_divides(self, size: int, what: str) -> None:
        """ConfigError unless `size` things can be split into equal minibatches."""
        if size % self.minibatches:
            raise ConfigError(
                f"{size} {what} cannot be split into {self.minibatches} equal minibatches; update.minibatches can be "
                f"{nearest_divisors(size, self.minibatches)}."
            )


class Penalty(NamedTuple):
    """What the update keeps from one iteration to the next."""

    kl_coef: Array  # []: weight of the adaptive KL penalty


def init_kept(config: PpoUpdateConfig, by_task: Any = ()) -> Kept:
    """What an algorithm with this update keeps at first, and by task `by_task`."""
    return Kept(Penalty(jnp.asarray(config.kl_coef, float)), by_task)


class Batch(NamedTuple):
    """What the policy's part of the loss needs, B steps (`[L, B / L]`, where the policy has a memory)."""

    context: Context  # what the policy's distributions follow from
    action: Array  # [B, action_dim], raw
    dist: Dist  # leaves [B, action_dim], what drew the action
    log_prob: Array  # [B]
    advantage: Array  # [B]


class Weights(NamedTuple):
    """Weights of the loss's terms at this point of the run."""

    entropy: Array | float  # []
    kl: Array | float  # []


# Rows `[R, ...]` of a batch: any tree of arrays.
Rows = Any
# Parameters, rows, what else there is to know (weights, mostly) -> mean loss over these rows, and its parts.
Loss = Callable[[Params, Rows, Any], tuple[Array, Metrics]]
# Parameters, rows of a minibatch, weights -> gradient of the loss, and metrics.
Gradient = Callable[[Params, Rows, Weights], tuple[Params, Metrics]]


def policy_loss(policy: Policy, params: Params, batch: Batch, clip: float, weights: Weights) -> tuple[Array, Metrics]:
    """`clipped_loss` of the policy that `params` are."""
    return clipped_loss(policy, policy.dist(params, batch.context), batch, clip, weights)


def clipped_loss(policy: Policy, dist: Dist, batch: Batch, clip: float, weights: Weights) -> tuple[Array, Metrics]:
    """Clipped surrogate, entropy bonus and KL penalty of action distributions: a scalar to be minimised, and its parts."""
    log_prob = policy.distribution.log_prob(dist, batch.action)
    surrogate = losses.ppo_clip(log_prob, batch.log_prob, batch.advantage, clip)
    entropy = jnp.mean(policy.distribution.entropy(dist))
    kl = jnp.mean(policy.distribution.kl(batch.dist, dist))
    loss = surrogate - weights.entropy * entropy + weights.kl * kl
    ratio_error = jnp.max(jnp.abs(jnp.exp(log_prob - batch.log_prob) - 1.0))
    return loss, {"surrogate": surrogate, "entropy": entropy, "kl": kl, "ratio_error": ratio_error}


def mean_metrics(parts: Metrics) -> Metrics:
    """Metrics of equal parts, `[P]` each, as those of the whole: means, but of `ratio_error`, which is a maximum."""
    return {name: part.max() if name == "ratio_error" else part.mean() for name, part in parts.items()}


def mean_over_chunks(
    fn: Callable[[Rows, Any], tuple[Params, Metrics]], like: Params, rows: Rows, given: Any, chunks: int
) -> tuple[Params, Metrics]:
    """Mean over equal chunks of rows of what `fn` gives for one; one chunk in memory at a time.

    Each device does this for its own rows, and then the devices' means are averaged. On CPU a chunk is two halves that do not
    depend on each other, where it can be split: cores share them better than the one operation after the other of a whole
    (a sixth of the time of a meta-gradient on two cores).

    Args:
      fn: rows of a chunk, `given` -> a tree like `like`, a mean over these rows, and metrics of them.
      like: what the tree is like.
      rows: all of them, `[R, ...]`.
      given: what else `fn` depends on, the same on every device; it must not close over traced arrays.
      chunks: that each device's rows are cut into; divides R. Where R / chunks cannot be split over the devices, each computes
        all of it.
    """

    def of_device(rows: Rows, given: Any) -> tuple[Params, Metrics]:
        def add_part(total: Params, rows: Rows) -> tuple[Params, Metrics]:
            tree, metrics = fn(rows, given)
            return jax.tree.map(jnp.add, total, tree), metrics

        parts = 2 if chunks > 1 and _size(rows) // chunks % 2 == 0 and jax.default_backend() == "cpu" else 1
        rows = jax.tree.map(lambda x: x.reshape(chunks * parts, -1, *x.shape[1:]), rows)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        total, metrics = jax.lax.scan(add_part, zeros, rows, unroll=parts)
        return jax.tree.map(lambda x: x[None] / (chunks * parts), total), metrics

    means, metrics = sharding.over_rows(of_device, _size(rows) // chunks)(rows, given)
    return jax.tree.map(lambda x: x.mean(axis=0), means), mean_metrics(metrics)


def mean_gradient(loss: Loss, params: Params, rows: Rows, told: Any, chunks: int = 1) -> tuple[Params, Metrics]:
    """Gradient of the mean loss over rows, taken chunk by chunk (`mean_over_chunks`), and the metrics."""

    def gradient(rows: Rows, given: tuple[Params, Any]) -> tuple[Params, Metrics]:
        params, told = given
        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(params, rows, told)
        return grads, metrics | {"loss": value}

    return mean_over_chunks(gradient, params, rows, (params, told), chunks)


def shuffle(key: Key, blocks: int, minibatches: int) -> Array:
    """Which row of each block of `minibatches` neighbouring rows each minibatch of an epoch takes, `[minibatches, blocks]`.

    So each row is in one minibatch, as likely in any as in any other, and a minibatch's mean is unbiased: it is a stratified
    sample, whose mean varies no more than that of rows drawn from all alike where neighbours are alike (steps of an
    episode, trials of a task). And it takes as many rows from every device, whose blocks these are.
    """
    places = jnp.broadcast_to(jnp.arange(minibatches), (blocks, minibatches))
    return jax.random.permutation(key, places, axis=1, independent=True).T


def take(rows: Rows, places: Array) -> Rows:
    """Of each of B equal blocks of rows `[R, ...]` the one at its place `[B]`; each device takes its own."""
    if len(places) == _size(rows):
        return rows

    def of_device(both: tuple[Rows, Array]) -> Rows:
        rows, places = both
        chosen = jnp.arange(0, _size(rows), _size(rows) // len(places)) + places
        return jax.tree.map(lambda x: x[chosen], rows)

    return sharding.over_rows(of_device, len(places))((rows, places))


def _size(rows: Rows) -> int:
    return len(jax.tree.leaves(rows)[0])


def make_entropy_schedule(config: PpoUpdateConfig, iterations: int) -> optax.Schedule:
    """Weight of the entropy bonus by iteration; after `iterations` it stays as it is."""
    if config.entropy_coef == config.entropy_coef_final:
        return optax.constant_schedule(config.entropy_coef)  # so that one program serves runs of any length
    return optax.linear_schedule(config.entropy_coef, config.entropy_coef_final, iterations)


def run_epochs(
    config: PpoUpdateConfig,
    gradient: Gradient,
    rows: Rows,
    optimizer: optax.GradientTransformation,
    state: RunState,
    key: Key,
    iterations: int,
) -> tuple[RunState, Metrics]:
    """Steps down a loss in shuffled minibatches, then adapts the KL penalty.

    Args:
      config: how many passes and parts.
      gradient: of the loss over a minibatch.
      rows: of the batch (steps, trials or tasks), `[R, ...]`.
      optimizer: the optimiser of the run.
      state: before.
      key: of the shuffling.
      iterations: length of the entropy bonus's schedule.

    Returns:
      The state after, and the metrics of the last step; `first_ratio_error` is how far the first minibatch's ratios were
      from 1, where they must be.
    """
    weights = Weights(make_entropy_schedule(config, iterations)(state.step), state.kept.shared.kl_coef)

    def step(state: RunState, places: Array) -> tuple[RunState, Metrics]:
        grads, metrics = gradient(state.params, take(rows, places), weights)
        return apply_gradients(optimizer, state, grads), metrics | {"outer_grad_norm": optax.tree.norm(grads)}

    blocks = _size(rows) // config.minibatches
    places = jax.vmap(lambda k: shuffle(k, blocks, config.minibatches))(jax.random.split(key, config.epochs))
    state, metrics = jax.lax.scan(step, state, places.reshape(-1, blocks))
    first, last = (jax.tree.map(lambda x, i=i: x[i], metrics) for i in (0, -1))
    if config.kl_target > 0.0:
        kl_coef = losses.adapt_kl_coef(state.kept.shared.kl_coef, last["kl"], config.kl_target)
        state = state._replace(kept=state.kept._replace(shared=Penalty(kl_coef)))
    return state, last | {"first_ratio_error": first["ratio_error"], "kl_coef": state.kept.shared.kl_coef}
