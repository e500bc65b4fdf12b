"""A run's meta-iterations one by one, as training performs them: episodes, inner steps, episodes, the meta-update."""

import dataclasses
import time

import jax

from .. import training
from ..algorithms import make_algorithm
from ..config import ExperimentConfig
from ..envs import make
from ..presets import PRESETS

PRESET = "cheetah-dir-maml"  # second-order MAML-PPO; what is not named in `configure` is from here
ENVS_PER_TASK = 10


def configure(env: str, physics: str, horizon: int, num_tasks: int) -> ExperimentConfig:
    """The run that is measured: the preset's learner, `num_tasks` per iteration, on episodes of `horizon` steps."""
    base = PRESETS[PRESET].config
    algorithm = dataclasses.replace(base.algorithm, num_tasks=num_tasks, envs_per_task=ENVS_PER_TASK)
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
    """The compiled iteration of a run; each call performs one and waits for its end."""

    def __init__(self, config: ExperimentConfig):
        env = make(config.env, physics=config.physics, horizon=config.horizon)
        algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
        self.env_steps = algorithm.env_steps_per_iteration
        self._key = training.base_key(config.seed)
        self._state = jax.jit(algorithm.init)(self._key)
        start = time.perf_counter()
        iterate = jax.jit(
            lambda state, key: algorithm.iterate(state, jax.random.fold_in(key, state.step)), donate_argnums=0
        )
        self._iterate = iterate.lower(self._state, self._key).compile()
        self.compile_seconds = time.perf_counter() - start

    def __call__(self) -> None:
        self._state, _ = jax.block_until_ready(self._iterate(self._state, self._key))
