"""Named experiments. To add one: a line in CONFIGS of a file beside this one, and one about it in names.py."""

import dataclasses
from typing import NamedTuple

from .. import names
from ..config import ExperimentConfig
from ..errors import ConfigError
from . import maml, off_policy, ppo, rl2

DEFAULT = "cheetah-dir-maml"


class Preset(NamedTuple):
    """A configuration and one line about it."""

    config: ExperimentConfig
    summary: str


_CONFIGS = maml.CONFIGS | rl2.CONFIGS | off_policy.CONFIGS | ppo.CONFIGS
PRESETS = {
    name: Preset(dataclasses.replace(_CONFIGS[name], preset=name), summary) for name, summary in names.PRESETS.items()
}
"""Presets by name: configuration and one line about it.

:meta hide-value:
"""


def scaled(config: ExperimentConfig, scale: int) -> ExperimentConfig:
    """With `scale` times as many environments at once, for devices that step many in the time of few.

    Times as many tasks per iteration; of PPO and SAC, which keep their tasks, environments of each. Nothing else changes: each
    iteration has as many more steps, so that fewer of them do.
    """
    if scale < 1:
        raise ConfigError(f"scale must be at least 1, not {scale}.")
    algorithm = config.algorithm
    if algorithm.name in ("ppo", "sac"):
        algorithm = dataclasses.replace(algorithm, envs_per_task=scale * algorithm.envs_per_task)
    else:
        algorithm = dataclasses.replace(algorithm, num_tasks=scale * algorithm.num_tasks)
    return dataclasses.replace(config, algorithm=algorithm)
