"""How success is counted: as the package does, and goal by goal.

The package keeps the first N episodes that finish under a task's name, whichever of its environments they come from. An
episode ends at success, so that an environment whose goal is solved finishes many while the others are at their first: an
agent that solves one goal of ten may score 1. Goal by goal, every goal gets equally many episodes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import metaworld
import numpy as np
from metaworld.evaluation import Agent, MetaLearningAgent, Timestep, evaluation, metalearning_evaluation

from ... import evaluation as native
from .host import Environments, HostSuite, Wrapping, environments
from .workers import WorkerEnvs

NUM_EVALS, ADAPTATION_EPISODES, EVALUATION_EPISODES = 10, 10, 3  # the package's defaults
MULTI_TASK_EPISODES = 50
META_BATCH, GOALS = 20, 40  # environments, and goals of each name, which the package's defaults assume
POINTS = (0, 1, 2, 5, 10)  # adaptation episodes of the curve
NUM_GOALS = 50
MAX_ENVS = 25


class Plan(NamedTuple):
    """What an evaluator needs to run."""

    environments: Environments
    max_steps: int  # of environments; episodes that end at success make it less


def plan_official(suite: HostSuite, wrapping: Wrapping) -> Plan:
    """One environment of each task of an MT suite; of an ML suite 20 (or one of each name), for 40 goals of each name."""
    num_names = len(suite.classes)
    if suite.shows_goal:
        made = environments(suite, 1, NUM_GOALS, wrapping)
        return Plan(made, num_names * MULTI_TASK_EPISODES * wrapping.horizon)
    per_task = max(1, META_BATCH // num_names)
    made = environments(suite, per_task, GOALS // per_task * per_task, wrapping)
    rounds = ADAPTATION_EPISODES + -(-EVALUATION_EPISODES // per_task)
    return Plan(made, NUM_EVALS * len(made.makers) * rounds * wrapping.horizon)


def official(agent: MetaLearningAgent, envs: WorkerEnvs, suite: HostSuite) -> dict[str, Any]:
    """The package's own evaluation, with its defaults: `success` over tasks and `task_success` by name."""
    if suite.shows_goal:
        success, _, by_task, _ = evaluation(agent, envs, MULTI_TASK_EPISODES)
    else:
        success, _, by_task = metalearning_evaluation(
            agent, envs, NUM_EVALS, 1, ADAPTATION_EPISODES, EVALUATION_EPISODES
        )
    return {"success": success, "task_success": {name: float(by_task[name]) for name in suite.classes}}


def plan_per_goal(suite: HostSuite, wrapping: Wrapping, points: Sequence[int], episodes: int, steps: int) -> Plan:
    """As many environments of each name, at most 25 in all, as divide its 50 goals."""
    num_names = len(suite.classes)
    per_task = max(d for d in range(1, NUM_GOALS + 1) if NUM_GOALS % d == 0 and (d == 1 or d * num_names <= MAX_ENVS))
    made = environments(suite, per_task, NUM_GOALS, wrapping)
    rounds = max(points) + (steps - 1) * sum(points) + len(points) * episodes
    return Plan(made, num_names * NUM_GOALS * wrapping.horizon * rounds)


def per_goal(
    agent: MetaLearningAgent,
    envs: WorkerEnvs,
    suite: HostSuite,
    horizon: int,
    points: Sequence[int],
    episodes: int,
    steps: int = 1,
) -> dict[str, Any]:
    """Success on every goal after the adaptation steps of the run, each on 0 or more episodes.

    The meta-trained policy plays the longest number of adaptation episodes once; each point adapts it to the first of them.
    Further steps play their own.

    Args:
      agent: to judge.
      envs: as many of each name of the suite, those of one name together.
      suite: whose goals are judged; their number must be a multiple of the environments of a name.
      horizon: steps per episode.
      points: numbers of adaptation episodes; 0 is the policy before adaptation.
      episodes: of each goal, per point.
      steps: adaptation steps of each point but 0.

    Returns:
      `adaptation_episodes`; estimates of success per point (`mean`, `mean_interval`; the bootstrap resamples the goals of each
      task); `task_success`, the same for each task; `goal_success`, by task `[points, goals]`.
    """
    num_names, num_goals = len(suite.classes), len(next(iter(suite.tasks.values())))
    per_task = envs.num_envs // num_names
    success = np.zeros((len(points), num_names, num_goals))
    for first in range(0, num_goals, per_task):
        goals = slice(first, first + per_task)
        set_goals(envs, [task for tasks in suite.tasks.values() for task in tasks[goals]])
        agent.init()
        first_experience = _adaptation_episodes(agent, envs, max(points))
        for point, count in enumerate(points):
            agent.init()
            for step in range(steps if count else 0):
                experience = _adaptation_episodes(agent, envs, count) if step else first_experience[: count * horizon]
                for timestep in experience:
                    agent.step(timestep)
                agent.adapt()
            success[point, :, goals] = success_of_each(agent, envs, episodes).reshape(num_names, per_task)
    by_task = {name: success[:, index] for index, name in enumerate(suite.classes)}
    return {
        "adaptation_episodes": list(points),
        **_estimates(success.reshape(len(points), -1), np.repeat(np.arange(num_names), num_goals)),
        "task_success": {name: _estimates(values) for name, values in by_task.items()},
        "goal_success": {name: values.tolist() for name, values in by_task.items()},
    }


def set_goals(envs: WorkerEnvs, tasks: Sequence[metaworld.Task]) -> None:
    """Gives each environment its task, which it keeps: environments of MT suites would draw another at every reset."""
    envs.call("toggle_sample_tasks_on_reset", False)
    envs.call_each("set_task", [(task,) for task in tasks])


def success_of_each(agent: Agent, envs: WorkerEnvs, episodes: int) -> np.ndarray:
    """The share of `episodes` episodes of each environment, `[n]`, that solve its task; an episode ends at success."""
    envs.call("toggle_terminate_on_success", True)
    obs, _ = envs.reset()
    agent.reset(np.ones(envs.num_envs, bool))
    played, solved = np.zeros((2, envs.num_envs), int)
    while (active := played < episodes).any():
        obs, _, terminated, truncated, infos = envs.step(agent.eval_action(obs), active)
        ended = terminated | truncated
        agent.reset(ended)
        played += ended
        solved += ended & (infos["success"] > 0)
    return solved / episodes


def _adaptation_episodes(agent: MetaLearningAgent, envs: WorkerEnvs, episodes: int) -> list[Timestep]:
    """What the agent, as it is after `init` or `adapt`, meets in whole episodes of every environment."""
    envs.call("toggle_terminate_on_success", False)
    obs, _ = envs.reset()
    played, timesteps = np.zeros(envs.num_envs, int), []
    while (played < episodes).any():
        actions, outputs = agent.adapt_action(obs)
        next_obs, reward, terminated, truncated, _ = envs.step(actions)
        timesteps.append(Timestep(obs, actions, reward, terminated, truncated, outputs))
        played += terminated | truncated
        obs = next_obs
    return timesteps


def _estimates(success: np.ndarray, tasks: np.ndarray | None = None) -> dict[str, list]:
    """Of success per point, `[points, N]`, at N goals of these `tasks` `[N]`, or of one."""
    return native.by_point([native.estimate(values, tasks) for values in success], native.SUCCESS_FIELDS)
