"""Algorithms by name.

To add one: a file with a frozen config dataclass (`name` is its key here) and `make(config, env, policy_config,
iterations) -> Algorithm`, a line in ALGORITHMS and one about it in names.py. Another package brings an `Entry` of its own: see
plugins.py.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import plugins
from ..errors import ConfigError, check_steps, check_worlds, lookup
from ..types import Suite
from . import maml_ppo, maml_trpo, pearl, ppo, reptile, rl2, sac

__all__ = ["ALGORITHMS", "Entry", "find_algorithm", "make_algorithm"]

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


def find_algorithm(name: str) -> Entry:
    """The algorithm of that name: of this package, or what another one brings.

    Raises:
      ConfigError: unknown name, or what another package brings is no `Entry`, or its configuration has another name.
    """
    found = None if name in ALGORITHMS else plugins.find(plugins.ALGORITHMS, name)
    if found is None:
        return lookup(name, dict.fromkeys(plugins.named(plugins.ALGORITHMS)) | ALGORITHMS, "algorithm")
    if not isinstance(found, Entry) or not dataclasses.is_dataclass(found.config):
        raise ConfigError(f"the algorithm {name!r} must be a metarl_jax.algorithms.Entry of a dataclass and its maker.")
    if getattr(found.config, "name", None) != name:
        raise ConfigError(f"the configuration of the algorithm {name!r} must say so: name: ClassVar[str] = {name!r}.")
    return found


def make_algorithm(config, env, policy_config, iterations):
    """The algorithm that a config belongs to; see `Algorithm`. ConfigError where `env` is not a MetaEnv, or a Suite of such."""
    for member in env.envs if isinstance(env, Suite) else (env,):
        if missing := [name for name in _ENV if not hasattr(member, name)]:
            raise ConfigError(
                f"{type(member).__name__} is no MetaEnv (metarl_jax/types.py): it lacks {', '.join(missing)}."
            )
    check_worlds(algorithm__num_tasks=config.num_tasks, algorithm__envs_per_task=config.envs_per_task)
    algorithm = find_algorithm(config.name).make(config, env, policy_config, iterations)
    check_steps(algorithm.env_steps_per_iteration, "an iteration")
    return algorithm
