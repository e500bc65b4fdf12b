"""Environment steps per second: jitted rollouts of random actions, observation and reward included."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from ... import rollout
from ...envs import make
from ...envs.physics import complaints
from ...types import MetaEnv, Suite
from .. import random_policy, timing
from ..metaworld import packages
from . import card

REPEATS = 3
BARS = {("cheetah-dir", "warp", 8192): 1e6, ("metaworld/ML10", "warp", 8190): 8e4}  # steps/s, on a GPU


def rates(
    name: str, physics: str, sizes: Sequence[int], steps: int, streams: int | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each number of worlds.

    Args:
      name: of an environment or a suite.
      physics: backend.
      sizes: numbers of worlds.
      steps: of each world per timed run.
      streams: how many scenes of a suite step at the same time; all where left out.
    """
    if streams is not None:
        os.environ["METARL_WARP_STREAMS"] = str(streams)
    env = make(name, physics=physics)
    what = f"{name}, {physics}" + (", one after the other" if streams == 1 else "")
    for size in sizes:
        compile_seconds, seconds = rollout_seconds(env, size, 1, steps)
        bar = BARS.get((name, physics, size)) if jax.default_backend() == "gpu" else None
        yield {
            "what": what,
            "worlds": size,
            "value": size * steps / seconds,
            "unit": "steps/s",
            "bar": bar and ("at least", bar),
            "compile_seconds": compile_seconds,
            "memory_mib": card.memory_mib(),
            "note": f"{steps} steps, median of {REPEATS}{''.join(f'; {words}' for words in complaints())}",
        }


def rollout_seconds(env: MetaEnv | Suite, num_tasks: int, envs_per_task: int, steps: int) -> tuple[float, float]:
    """Seconds to compile a rollout, and the median of its runs."""
    start = time.perf_counter()
    act, shape = random_policy.make_act(env.spec), (num_tasks, envs_per_task)
    tasks = jax.jit(lambda key: rollout.sample_tasks(env, key, num_tasks))(jax.random.key(0))
    state = jax.jit(lambda key, tasks: rollout.start(env, tasks, key, shape))(jax.random.key(1), tasks)

    def run(state: rollout.RolloutState, tasks: Any, key: Any) -> Any:
        _, transitions = rollout.collect(env, act, tasks, state, key, steps)
        return transitions.obs_t, transitions.reward_t, transitions.success_t

    program = jax.jit(run).lower(state, tasks, jax.random.key(2)).compile()
    jax.block_until_ready(program(state, tasks, jax.random.key(2)))  # Warp loads its kernels and captures a graph
    compile_seconds = time.perf_counter() - start
    runs = {"": lambda: jax.block_until_ready(program(state, tasks, jax.random.key(2)))}
    return compile_seconds, statistics.median(timing.in_turn(runs, REPEATS)[""])


def peer(package: str, name: str, num_envs: int, steps: int) -> Iterator[dict[str, Any]]:
    """A row of another package that is installed, or that says that it is not."""
    rate = packages.rate(package, name, num_envs, steps)
    row = {"what": f"{name}, {package}", "worlds": num_envs}
    if rate is None:
        yield row | {"note": f"skipped: {package} is not installed"}
    else:
        yield row | {"value": rate, "unit": "steps/s", "note": f"{steps} steps, median of 3"}
