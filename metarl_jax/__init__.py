"""Meta-reinforcement learning in JAX: tasks in, policies that adapt in a few episodes out.

From Python, a run is an environment, an algorithm and a loop:

    import jax

    from metarl_jax import PRESETS, make_algorithm
    from metarl_jax.envs import make

    config = PRESETS["nav-maml"].config
    env = make(config.env)
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    state = algorithm.init(jax.random.key(0))
    state, metrics = jax.jit(algorithm.iterate)(state, jax.random.key(1))
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .algorithms import ALGORITHMS, make_algorithm
    from .config import ExperimentConfig
    from .errors import ConfigError
    from .evaluation import adaptation_curve, estimate
    from .presets import PRESETS
    from .types import Algorithm, EnvSpec, MetaEnv, RunState, TimeStep, Transition

__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "Algorithm",
    "ConfigError",
    "EnvSpec",
    "ExperimentConfig",
    "MetaEnv",
    "RunState",
    "TimeStep",
    "Transition",
    "adaptation_curve",
    "estimate",
    "make_algorithm",
]

_ROOMS = {
    "algorithms": ("ALGORITHMS", "make_algorithm"),
    "config": ("ExperimentConfig",),
    "errors": ("ConfigError",),
    "evaluation": ("adaptation_curve", "estimate"),
    "presets": ("PRESETS",),
    "types": ("Algorithm", "EnvSpec", "MetaEnv", "RunState", "TimeStep", "Transition"),
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, when it is: the command's help needs no JAX."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f".{room}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
