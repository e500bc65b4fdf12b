"""The package's scripted policies through the bridge: `python -m metarl_jax.benchmarks.metaworld.bridge_experts`.

Over the 50 goals of MT1, shown, 500 steps:
  bridge   share of goals solved in our worker processes, as `metarl evaluate --on metaworld` counts
  package  share of goals solved in the package's environment, stepped directly
  alike    share of goals that both solve, or both miss
"""

import contextlib

import numpy as np

from ...envs.metaworld import FAMILIES
from ...envs.metaworld.env import HORIZON
from . import evaluators, host, reference, table
from .experts import package_succeeds
from .workers import WorkerEnvs

SEED, NUM_ENVS = 0, 10


class ExpertAgent:
    """`metaworld.evaluation.Agent`: a scripted policy in each of N environments of one task."""

    def __init__(self, name: str, count: int):
        self._name = name
        self._policies = [reference.expert(name, noise=0.0) for _ in range(count)]

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        """Actions, `[N, action_dim]`."""
        pairs = zip(self._policies, observations, strict=True)
        return np.stack([policy(obs.copy()) for policy, obs in pairs])  # some write into what they are given

    def reset(self, env_mask: np.ndarray) -> None:
        """Scripted policies may remember an episode: those that begin one are made anew."""
        for index in np.flatnonzero(env_mask):
            self._policies[index] = reference.expert(self._name, noise=0.0)


def measure(name: str) -> dict[str, float]:
    """One row of the table."""
    suite = host.make_suite(f"MT1-{name}", "train", SEED)
    bridge = bridge_successes(suite, name)
    vectors = reference.task_vectors(suite.tasks[name])
    package = reference.make_reference(name, vectors[0], show_goal=True)
    direct = np.array([package_succeeds(package, name, vector, nudge=0.0) for vector in vectors])
    return {"bridge": bridge.mean(), "package": direct.mean(), "alike": (bridge == direct).mean()}


def bridge_successes(suite: host.HostSuite, name: str) -> np.ndarray:
    """Which goals of a task, `[50]`, the expert solves in worker processes."""
    made = host.environments(suite, NUM_ENVS, evaluators.NUM_GOALS, host.Wrapping(SEED, HORIZON, "v2"))
    tasks, solved = suite.tasks[name], []
    with contextlib.closing(WorkerEnvs(made.makers, made.names)) as envs:
        for first in range(0, evaluators.NUM_GOALS, NUM_ENVS):
            evaluators.set_goals(envs, tasks[first : first + NUM_ENVS])
            solved.append(evaluators.success_of_each(ExpertAgent(name, NUM_ENVS), envs, 1) > 0)
    return np.concatenate(solved)


if __name__ == "__main__":
    table.main("bridge_experts", measure, FAMILIES, {"seed": SEED, "goals": evaluators.NUM_GOALS, "steps": HORIZON})
