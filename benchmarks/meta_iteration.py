"""A run's meta-iterations one by one, as training performs them: episodes, inner steps, episodes, the meta-update."""

import dataclasses
import time

import jax
import jax.numpy as jnp

from .. import sharding
from ..algorithms import make_algorithm
from ..config import ExperimentConfig
from ..envs import make
from ..presets import PRESETS
from ..runs import window

PRESET = "cheetah-dir-maml"  # second-order MAML-PPO; what is not named in `configure` is from here
ENVS_PER_TASK = 10


def configure(
    env: str, physics: str, horizon: int, num_tasks: int, envs_per_task: int = ENVS_PER_TASK
) -> ExperimentConfig:
    """The run that is measured: the preset's learner, `num_tasks` per iteration, on episodes of `horizon` steps."""
    base = PRESETS[PRESET].config
    algorithm = dataclasses.replace(base.algorithm, num_tasks=num_tasks, envs_per_task=envs_per_task)
    return dataclasses.replace(base, env=env, physics=physics, horizon=horizon, algorithm=algorithm)


def describe(config: ExperimentConfig) -> str:
    """Its sizes, in words."""
    algorithm = config.algorithm
    return (
        f"{algorithm.envs_per_task} environments per task, {config.horizon} steps per episode, "
        f"inner steps: {algorithm.inner.steps}, epochs of the meta-update: {algorithm.update.epochs}, "
        f"network {' x '.join(map(str, config.policy.network.hidden))}"
    )


class MetaIteration:
    """The compiled iteration of a run or of several seeds, over several devices; each call performs one and waits for it."""

    def __init__(self, config: ExperimentConfig, seeds: int = 1, devices: int = 1):
        self.config = config
        self.env = make(config.env, physics=config.physics, horizon=config.horizon)
        self.algorithm = make_algorithm(config.algorithm, self.env, config.policy, config.iterations)
        self.env_steps = seeds * self.algorithm.env_steps_per_iteration
        keys = jax.tree.map(lambda *keys: jnp.stack(keys), *[window.run_keys(config.seed + i) for i in range(seeds)])
        start = time.perf_counter()
        self.states, self._iterate, self.compiled = window.begin(
            self.algorithm, keys, 1, sharding.make_mesh(devices, sharding.SEED if seeds > 1 else sharding.TASK)
        )
        self.compile_seconds = time.perf_counter() - start
        self.num_params = sum(x.size for x in jax.tree.leaves(self.states.params)) // seeds

    def __call__(self) -> None:
        self.states, _ = jax.block_until_ready(self._iterate(self.states, 1))
