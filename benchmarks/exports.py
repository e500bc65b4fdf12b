"""What stepping through Gymnasium's interface costs: `as_gymnasium` beside a jitted rollout, and the package's AsyncVectorEnv.

`NUM_ENVS` worlds of Meta-World, goal shown, uniformly random actions, from a reset on in every timed run, since worlds step more
slowly once hands touch something; columns, in environment steps per second:
  rollout     a jitted rollout, the program that trains
  gymnasium   `as_gymnasium(name, NUM_ENVS)`, a call of `step` for each step, and `of_rollout`, its share
  async       the package's environments in gymnasium's AsyncVectorEnv, and `of_async`, how many times as fast `gymnasium` is
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .. import rollout
from ..envs import make
from ..envs.exports.gymnasium import MetaVectorEnv
from . import random_policy, timing
from .metaworld import packages

TASKS = ("reach-v3", "door-open-v3")
NUM_ENVS = 64
STEPS = 50  # per timed run
REPEATS = 5
ROUNDS = 3  # in each of which everything is timed, since AsyncVectorEnv is timed in a process of its own


def measure() -> list[dict[str, Any]]:
    """One row per task."""
    return [_row(name) for name in TASKS]


def _row(name: str) -> dict[str, Any]:
    env = make(f"metaworld/{name}/mt1", physics="mujoco")
    runs, rates = {"rollout": _rollout(env), "gymnasium": _gymnasium(env)}, []
    for _ in range(ROUNDS):
        seconds = timing.in_turn(runs, REPEATS)
        rate = {kind: NUM_ENVS * STEPS / statistics.median(times) for kind, times in seconds.items()}
        async_rate = packages.rate("AsyncVectorEnv", name, NUM_ENVS, STEPS)
        rate["of_rollout"] = statistics.median(np.divide(seconds["rollout"], seconds["gymnasium"]))
        rates.append(rate | {"async": async_rate, "of_async": async_rate and rate["gymnasium"] / async_rate})
    medians = {
        kind: None if x is None else statistics.median(rate[kind] for rate in rates) for kind, x in rates[0].items()
    }
    return {"task": name, **medians, "note": f"{NUM_ENVS} environments, {ROUNDS} rounds"}


def _rollout(env: Any) -> Callable[[], Any]:
    act, tasks = random_policy.make_act(env.spec), rollout.sample_tasks(env, jax.random.key(0), NUM_ENVS)

    @jax.jit
    def run(key: jax.Array) -> Any:
        state = rollout.start(env, tasks, key, (NUM_ENVS, 1))
        _, transitions = rollout.collect(env, act, tasks, state, key, STEPS)
        return transitions.obs_t, transitions.reward_t, transitions.success_t

    return lambda: jax.block_until_ready(run(jax.random.key(1)))


def _gymnasium(env: Any) -> Callable[[], None]:
    worlds = MetaVectorEnv(env, NUM_ENVS, seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, NUM_ENVS, env.spec.action_dim)).astype(np.float32)

    def run() -> None:
        worlds.reset(seed=0)
        for action in actions:
            worlds.step(action)

    return run
