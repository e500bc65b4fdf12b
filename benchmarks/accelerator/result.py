"""One real result: a preset trained until it solves its tasks, on the clock."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ... import evaluation, presets, sharding
from ...algorithms import make_algorithm
from ...config import ExperimentConfig
from ...envs import make
from ...runs import window
from . import card

# What a card with many worlds wants in place of the preset's own: more tasks at once, in more minibatches, fewer times.
OPTIONS = {
    "gpu": {"scale": 32, "minibatches": 32, "iterations": 40},
    "elsewhere": {"scale": 1, "minibatches": 4, "iterations": 2, "horizon": 10},
}


def to_success(preset: str, where: str, success: float) -> Iterator[dict[str, Any]]:
    """A row, told anew after every iteration: seconds until training tasks are solved as often as `success` says.

    The seconds hold all of it: making the environment, compiling, every iteration. At the end the policy is judged on the
    tasks of the test split.

    Args:
      preset: its name.
      where: a key of OPTIONS.
      success: share of the training tasks of an iteration.
    """
    options = OPTIONS[where]
    start = time.perf_counter()
    config = configure(preset, options)
    env, test_env = (
        make(config.env, physics=config.physics, horizon=config.horizon, split=s) for s in ("train", "test")
    )
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    keys = jax.tree.map(lambda key: key[None], window.run_keys(config.seed))
    states, iterate, _ = window.begin(algorithm, keys, 1, sharding.make_mesh(1))
    compile_seconds = time.perf_counter() - start
    worlds = config.algorithm.num_tasks * config.algorithm.envs_per_task
    row = {"what": f"{preset}, {config.physics}", "worlds": worlds, "unit": "s", "compile_seconds": compile_seconds}
    row |= {"bar": ("at most", 180.0) if jax.default_backend() == "gpu" else None}
    scores: list[float] = []
    reached = None
    while len(scores) < config.iterations and reached is None:
        states, logs = iterate(states, 1)
        scores.append(float(np.asarray(logs["success_after"])[0, 0]))
        seconds = time.perf_counter() - start
        reached = seconds if scores[-1] >= success else None
        steps = len(scores) * algorithm.env_steps_per_iteration
        note = f"training success {scores[-1]:.2f} after {len(scores)} iterations, {steps / 1e6:.1f} M steps, {seconds:.0f} s"
        note += f"; {options}; every fifth: " + " ".join(f"{score:.2f}" for score in scores[4::5])
        yield row | {"value": reached, "memory_mib": card.memory_mib(), "note": note}
    settings = config.evaluation.following(algorithm.adaptation)
    state = jax.tree.map(lambda x: x[0], states)
    shape = (settings.tasks, min(4, settings.episodes))
    curve = jax.jit(lambda s, k: evaluation.adaptation_curve(algorithm, test_env, s, k, shape, settings.steps))
    judged = np.asarray(curve(state, window.evaluation_key(config.seed)).success).mean(axis=1)
    first, second = judged[0], judged[-1]
    note += f"; {shape[0]} test goals x {shape[1]}: first episode {first:.2f}, second {second:.2f}"
    yield row | {"value": reached, "memory_mib": card.memory_mib(), "note": note}


def configure(preset: str, options: dict[str, Any]) -> ExperimentConfig:
    """The preset with `scale`, `minibatches`, `iterations` and, if it is there, `horizon` of the options."""
    config = presets.scaled(presets.PRESETS[preset].config, options["scale"])
    update = dataclasses.replace(config.algorithm.update, minibatches=options["minibatches"])
    algorithm = dataclasses.replace(config.algorithm, update=update)
    config = dataclasses.replace(config, algorithm=algorithm, iterations=options["iterations"])
    if "horizon" in options:
        algorithm = dataclasses.replace(algorithm, chunk=options["horizon"])
        config = dataclasses.replace(config, algorithm=algorithm, horizon=options["horizon"])
    physics = "warp" if jax.default_backend() == "gpu" else "mujoco"
    return dataclasses.replace(config, physics=physics)
