"""What a configuration, a run directory and an agent stand for, as objects."""

from collections.abc import Callable

import jax

from .. import envs, rollout
from ..algorithms import make_algorithm
from ..errors import ConfigError
from ..runs import agents
from ..runs.checkpoint import Checkpoints
from ..types import EnvSpec, Split

HOST = "metaworld-host/"  # begins the names of environments of the package


def make_env(config, split: Split):
    """What a run trains on (split "train"), or what it is judged on ("test")."""
    make: Callable = envs.make
    if config.env.startswith(HOST):
        from ..benchmarks.metaworld import host_env

        make = host_env.make
    horizon = config.horizon
    if split == "test" and config.evaluation.horizon is not None:
        horizon = config.evaluation.horizon
    env = make(config.env, physics=config.physics, horizon=horizon, split=split)
    if split == "test":
        rollout.check_num_tasks(env, config.evaluation.tasks, "evaluation.tasks")
    return env


def make_envs(config) -> tuple:
    """What a run trains on, and what it is judged on; ConfigError where a policy of the one does not fit the other."""
    env = make_env(config, "train")
    return env, make_judged_env(config, env.spec)


def make_judged_env(config, trained: EnvSpec):
    """What a run is judged on; ConfigError where a policy that is trained in an environment of that spec does not fit."""
    env = make_env(config, "test")
    check_fits(trained, env.spec)
    return env


def check(config) -> None:
    """ConfigError where no run can be made of a configuration, which takes what it names together."""
    env, _ = make_envs(config)
    make_algorithm(config.algorithm, env, config.policy, config.schedule_length)


def check_fits(trained: EnvSpec, judged: EnvSpec) -> None:
    """ConfigError with all differences, unless observations, actions and what is told of success are the same in both."""
    words = {"obs_dim": "observations", "action_dim": "actions", "action_low": "lowest actions"}
    words |= {"action_high": "highest actions", "discrete": "actions are discrete", "has_success": "success is defined"}
    differences = [
        f"{what} {getattr(trained, name)} and {getattr(judged, name)}"
        for name, what in words.items()
        if getattr(trained, name) != getattr(judged, name)
    ]
    if differences:
        raise ConfigError(
            f"a policy that is trained in {trained.name!r} cannot act in {judged.name!r}: {'; '.join(differences)}. Choose an "
            "environment where these are the same."
        )


def restore(run, config, env, checkpoint: str) -> tuple:
    """The algorithm of a run that trained on `env`, and its state in the `latest` or `best` checkpoint; or those of an agent.

    ConfigError where that cannot be read.
    """
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.schedule_length)
    like = jax.eval_shape(algorithm.init, jax.random.key(0))
    if (agent := agents.find(run)) is not None:
        if checkpoint != "latest":
            raise ConfigError(f"{run} is an agent, which has one state: leave --checkpoint out.")
        return algorithm, agents.restore(agents.read(agent), like)
    try:
        checkpoints = Checkpoints(run / "checkpoints", config.keep_checkpoints, algorithm.checkpointed)
        state = checkpoints.restore(like, checkpoint)
        checkpoints.close()
    except OSError as error:
        raise ConfigError(f"cannot read {run}: {error.strerror or error}.") from error
    return algorithm, state
