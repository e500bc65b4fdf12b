"""Meta-reinforcement learning in JAX: tasks in, policies that adapt in a few episodes out.

From Python, what the command does:

    import metarl_jax

    run = metarl_jax.train("nav-maml", iterations=20)
    policy = run.agent().adapt(task=3)  # or metarl_jax.load("runs/...")
    action = policy.act(obs)

Underneath, a run is an environment, an algorithm and a loop:

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
    from .experiments.agent import Agent, load
    from .experiments.task_policy import TaskPolicy
    from .experiments.train import Run, resume, train, train_seeds
    from .presets import PRESETS
    from .runs.training import Interrupted, TrainingError
    from .types import Algorithm, EnvSpec, MetaEnv, RunState, TimeStep, Transition

__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "Agent",
    "Algorithm",
    "ConfigError",
    "EnvSpec",
    "ExperimentConfig",
    "Interrupted",
    "MetaEnv",
    "Run",
    "RunState",
    "TaskPolicy",
    "TimeStep",
    "TrainingError",
    "Transition",
    "adaptation_curve",
    "estimate",
    "load",
    "make_algorithm",
    "resume",
    "train",
    "train_seeds",
]

_ROOMS = {
    "algorithms": ("ALGORITHMS", "make_algorithm"),
    "config": ("ExperimentConfig",),
    "errors": ("ConfigError",),
    "evaluation": ("adaptation_curve", "estimate"),
    "experiments.agent": ("Agent", "load"),
    "experiments.task_policy": ("TaskPolicy",),
    "experiments.train": ("Run", "resume", "train", "train_seeds"),
    "presets": ("PRESETS",),
    "runs.training": ("Interrupted", "TrainingError"),
    "types": ("Algorithm", "EnvSpec", "MetaEnv", "RunState", "TimeStep", "Transition"),
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, when it is: the command's help needs no JAX."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f".{room}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
