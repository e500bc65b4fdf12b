"""Algorithms by name.

To add one: a file with a frozen config dataclass (`name` is its key here) and `make(config, env, policy_config,
iterations) -> Algorithm`, a line in ALGORITHMS and one about it in names.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ConfigError, check_steps, check_worlds
from ..types import Suite
from . import maml_ppo, maml_trpo, pearl, ppo, reptile, rl2, sac

__all__ = ["ALGORITHMS", "Entry", "make_algorithm"]

_ENV = ("spec", "tasks", "sample_task", "reset", "step")  # what a MetaEnv has


class Entry(NamedTuple):
    """An algorithm: its default configuration, and its maker."""

    config: Any
    make: Callable


ALGORITHMS: dict[str, Entry] = {
    "maml-ppo": Entry(maml_ppo.MamlPpoConfig(), maml_ppo.make),
    "fomaml": Entry(maml_ppo.MamlPpoConfig(first_order=True), maml_ppo.make),
    "promp": Entry(maml_ppo.MamlPpoConfig(inner_kl_coef=5e-4), maml_ppo.make),
    "maml-trpo": Entry(maml_trpo.MamlTrpoConfig(), maml_trpo.make),
    "reptile": Entry(reptile.ReptileConfig(), reptile.make),
    "rl2": Entry(rl2.Rl2Config(), rl2.make),
    "pearl": Entry(pearl.PearlConfig(), pearl.make),
    "sac": Entry(sac.SacConfig(), sac.make),
    "ppo": Entry(ppo.PpoConfig(), ppo.make),
}
"""Algorithms by name: default configuration and maker of each.

:meta hide-value:
"""


def make_algorithm(config, env, policy_config, iterations):
    """The algorithm that a config belongs to; see `Algorithm`. ConfigError where `env` is not a MetaEnv, or a Suite of such."""
    for member in env.envs if isinstance(env, Suite) else (env,):
        if missing := [name for name in _ENV if not hasattr(member, name)]:
            raise ConfigError(
                f"{type(member).__name__} is no MetaEnv (metarl_jax/types.py): it lacks {', '.join(missing)}."
            )
    check_worlds(algorithm__num_tasks=config.num_tasks, algorithm__envs_per_task=config.envs_per_task)
    algorithm = ALGORITHMS[config.name].make(config, env, policy_config, iterations)
    check_steps(algorithm.env_steps_per_iteration, "an iteration")
    return algorithm
