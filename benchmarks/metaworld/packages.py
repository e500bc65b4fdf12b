"""Other packages that step Meta-World, each in a program without JAX of ours: no threads of ours, no share of our memory."""

import importlib.util
import sys
from typing import NamedTuple

from ...envs.physics.mujoco import num_threads
from .. import isolated


class Package(NamedTuple):
    """How a package is imported, and a program that prints its environment steps per second."""

    module: str
    program: str  # its arguments: task, number of environments, steps per timed run, threads


def rate(package: str, name: str, num_envs: int, steps: int) -> float | None:
    """Environment steps per second with random actions: median of three runs, after one that warms up.

    Args:
      package: a key of PACKAGES.
      name: task of Meta-World; AsyncVectorEnv also takes a suite, ML10.
      num_envs: stepped at the same time.
      steps: of each environment per run.

    Returns:
      None where the package is not installed.

    Raises:
      isolated.Failed: it is, but does not run.
    """
    module, program = PACKAGES[package]
    if importlib.util.find_spec(module) is None:
        return None
    command = [sys.executable, "-c", _TIMED + program, name, str(num_envs), str(steps), str(num_threads())]
    return float(isolated.last_line(command, {}))


_TIMED = """
import statistics, sys, time
name, num_envs, steps, threads = sys.argv[1], *map(int, sys.argv[2:])
def timed(run):
    rates = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        rates.append(num_envs * steps / (time.perf_counter() - start))
    print(statistics.median(rates[1:]))
def steps_of(step):
    for _ in range(steps):
        step()
"""
_ASYNC = """
import functools, warnings
import gymnasium, metaworld
import metarl_jax.benchmarks.metaworld.mended
warnings.simplefilter("ignore")
benchmark = getattr(metaworld, name)(seed=0) if name.startswith("ML") else metaworld.ML1(name, seed=0)
classes = list(benchmark.train_classes.items())
def make(index):
    name, cls = classes[index % len(classes)]
    env = cls()
    env.set_task(next(task for task in benchmark.train_tasks if task.env_name == name))
    return env
if __name__ == "__main__":
    envs = gymnasium.vector.AsyncVectorEnv([functools.partial(make, index) for index in range(num_envs)])
    envs.reset()
    timed(lambda: steps_of(lambda: envs.step(envs.action_space.sample())))
    envs.close()
"""
_ENVPOOL = """
import envpool, numpy as np
name = "".join(part.capitalize() for part in name.removesuffix("-v3").split("-"))
envs = envpool.make(f"MetaWorld/{name}-v3", env_type="gymnasium", num_envs=num_envs, num_threads=threads)
envs.reset()
rng = np.random.default_rng(0)
timed(lambda: steps_of(lambda: envs.step(rng.uniform(-1, 1, (num_envs, 4)))))
"""
_MTCWORLD = """
import jax, MTCWorldMJX
envs = MTCWorldMJX.make_ml_envs(name, seed=0, num_envs=num_envs)
def policy(obs, key):
    return jax.random.uniform(key, (num_envs, 4), minval=-1.0, maxval=1.0)
rollout = jax.jit(lambda state, key: MTCWorldMJX.rollout(envs, state, policy, key, steps))
state = envs.reset(jax.random.PRNGKey(0))
timed(lambda: jax.block_until_ready(rollout(state, jax.random.PRNGKey(1))))
"""
PACKAGES = {
    "AsyncVectorEnv": Package("metaworld", _ASYNC),
    "EnvPool": Package("envpool", _ENVPOOL),
    "MTCWorldMJX": Package("MTCWorldMJX", _MTCWORLD),
}
