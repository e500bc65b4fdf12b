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
