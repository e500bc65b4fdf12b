"""Evolution strategies (Salimans et al. 2017, arXiv:1703.03864): a gradient from returns of perturbed policies alone."""

import dataclasses
from typing import ClassVar

import jax
from jax.flatten_util import ravel_pytree

from metarl_jax import ConfigError, rollout
from metarl_jax.algorithms import Entry
from metarl_jax.algorithms.diagnostics import action_metrics, outcome_metrics
from metarl_jax.learning.losses import standardise
from metarl_jax.learning.optim import OptimizerConfig, apply_gradients, init_run_state, make_optimizer
from metarl_jax.policies import make_act, make_policy
from metarl_jax.types import Adaptation, Algorithm, Kept


@dataclasses.dataclass(frozen=True)
class EsConfig:
    """Knobs of evolution strategies."""

    name: ClassVar[str] = "es"

    num_tasks: int = 64
    """Tasks per iteration, each with a perturbed policy of its own."""
    envs_per_task: int = 4
    """Episodes of each."""
    noise: float = 0.1
    """Standard deviation of the perturbations of a parameter."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-2)
    """Optimiser of the unperturbed policy."""

    def __post_init__(self):
        if min(self.num_tasks, self.envs_per_task) < 1 or not 0.0 < self.noise < float("inf"):
            raise ConfigError("num_tasks and envs_per_task must be at least 1, noise positive and finite.")


def make(config, env, policy_config, iterations):
    """Builds the algorithm for a run of `iterations`; see `metarl_jax.types.Algorithm`."""
    rollout.check_num_tasks(env, config.num_tasks, "algorithm.num_tasks")
    policy = make_policy(policy_config, env.spec)
    optimizer = make_optimizer(config.optimizer, iterations)
    shape = (config.num_tasks, config.envs_per_task)

    def init(key):
        return init_run_state(policy.init(key), optimizer, policy.init_stats(), Kept())

    def iterate(state, key):
        key_tasks, key_noise, key_run = jax.random.split(key, 3)
        tasks = rollout.sample_tasks(env, key_tasks, config.num_tasks)
        flat, unflatten = ravel_pytree(state.params)
        noise = jax.random.normal(key_noise, (config.num_tasks, flat.size))
        act = make_act(policy, state.obs_stats, jax.vmap(unflatten)(flat + config.noise * noise), 0)
        _, transitions = rollout.run_episodes(env, act, tasks, key_run, shape, rollout.no_history(env.spec, shape))
        outcome = rollout.episode_outcome(transitions)
        score = standardise(outcome.returns.mean(axis=1))
        grads = unflatten(-score @ noise / (config.num_tasks * config.noise))
        state = apply_gradients(optimizer, state, grads)
        metrics = outcome_metrics(env, "before", outcome) | outcome_metrics(env, "after", outcome)  # nothing adapts
        return state._replace(step=state.step + 1), metrics | action_metrics(policy, transitions)

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: state.params,
        act=lambda state, params: make_act(policy, state.obs_stats, params, 0),
        adapt=lambda state, params, transitions: params,
        adaptation=Adaptation(0, None),
        policy=policy,
        init_carry=lambda shape: (),
        keeps_history=False,
        env_steps_per_iteration=shape[0] * shape[1] * env.spec.horizon,
    )


ENTRY = Entry(EsConfig(), make)
