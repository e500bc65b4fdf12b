"""An agent, and the held-out tasks that it is to adapt to."""

import dataclasses
from typing import Any, NamedTuple

from ..config import SettledEvaluation
from ..experiments.agent import Agent, load
from ..experiments.parts import make_judged_env
from ..runs import judging
from ..types import Key, MetaEnv, Suite, Task
from .options import differences, given


class Adapting(NamedTuple):
    """See above."""

    agent: Agent
    env: MetaEnv | Suite  # what draws the tasks
    settings: SettledEvaluation  # with what options say
    changes: dict[str, Any]  # those of them that are not the run's own
    tasks: Task
    key: Key  # of episodes and actions

    @property
    def shape(self) -> tuple[int, int]:
        """Tasks, and episodes of each."""
        return self.settings.tasks, self.settings.episodes


def load_adapting(options: Any, *names: str) -> Adapting:
    """What `options.run` is and is judged on; options of these names, where they are given, replace those of its evaluation."""
    agent = load(options.run, options.checkpoint)
    config, adaptation = agent.config, agent.algorithm.adaptation
    evaluated = dataclasses.replace(config.evaluation, **given(options, *names))
    env = make_judged_env(dataclasses.replace(config, evaluation=evaluated), agent.spec)
    own, settings = (each.following(adaptation) for each in (config.evaluation, evaluated))
    tasks, key = judging.draw_tasks(settings, env), judging.episodes_key(settings, config.seed)
    return Adapting(agent, env, settings, differences(own, settings), tasks, key)
