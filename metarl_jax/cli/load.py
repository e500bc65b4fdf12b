"""A run directory as the objects that it stands for."""

import jax

from .. import envs, rollout
from ..algorithms import make_algorithm
from ..runs.checkpoint import Checkpoints

HOST = "metaworld-host/"  # begins the names of environments of the package


def make_env(config, split: str):
    """What a run trains on (split "train"), or what it is judged on ("test")."""
    make = envs.make
    if config.env.startswith(HOST):
        from ..benchmarks.metaworld.host_env import make
    horizon = config.evaluation.horizon or config.horizon if split == "test" else config.horizon
    env = make(config.env, physics=config.physics, horizon=horizon, split=split)
    if split == "test":
        rollout.check_num_tasks(env, config.evaluation.tasks, "evaluation.tasks")
    return env


def restore(run, config, env, checkpoint: str) -> tuple:
    """The algorithm of a run that trained on `env`, and its state in the `latest` or `best` checkpoint."""
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    like = jax.eval_shape(algorithm.init, jax.random.key(0))
    checkpoints = Checkpoints(run / "checkpoints", config.keep_checkpoints)
    state = checkpoints.restore(like, checkpoint)
    checkpoints.close()
    return algorithm, state
