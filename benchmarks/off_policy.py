"""SAC on HalfCheetah-v5: environment steps and updates per second, learning included, beside SBX where it is installed.

Both do the same work, in turn: C MuJoCo, two critics and an actor of two layers, batches of 256, a replay that holds enough to
draw from. Columns:
  worlds, ratio         environments, and gradient steps for each environment step
  width                 units of each hidden layer of actor and critics
  env_steps_per_second, updates_per_second
                        of ours: medians
  sbx_updates_per_second
                        of SBX's SAC (`sbx-rl`), whose environments step one after the other, as it makes them
  of_sbx                our rate over SBX's, the median of the rounds in which both were timed
  note                  what is missing
"""

import dataclasses
import importlib.util
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..algorithms.q_critic import QCriticConfig
from ..algorithms.sac import SacConfig
from ..config import ExperimentConfig
from ..networks import NetworkConfig
from ..presets import PRESETS
from . import figures, isolated, timing
from .meta_iteration import MetaIteration

SETTINGS = ((64, 1 / 64), (1, 1.0), (1, 4.0))  # worlds, ratio
WIDTHS = (256, 1024)
BATCH = 256
UPDATES = {256: 128, 1024: 32}  # in a timed round, by width
WARM_UP = 2_000  # environment steps before the first update
REPEATS = 5


def measure() -> list[dict[str, Any]]:
    """A row for each setting, each in a process of its own."""
    return [_row(worlds, ratio, width) for width in WIDTHS for worlds, ratio in SETTINGS]


def _row(worlds: int, ratio: float, width: int) -> dict[str, Any]:
    columns = {"worlds": worlds, "ratio": ratio, "width": width}
    nothing = dict.fromkeys(("env_steps_per_second", "updates_per_second", "sbx_updates_per_second", "of_sbx"))
    try:
        return columns | nothing | isolated.call(rates, worlds, ratio, width) | {"note": f"median of {REPEATS}"}
    except isolated.Failed as failure:
        return columns | nothing | {"note": f"failed: {failure}"}


def rates(worlds: int, ratio: float, width: int) -> dict[str, float]:
    """What is known of a setting, measured in this process."""
    steps = round(UPDATES[width] / ratio)
    runs = {"ours": our_round(worlds, ratio, width, steps)}
    if importlib.util.find_spec("sbx"):
        runs["sbx"] = sbx_round(worlds, ratio, width, steps)
    seconds = timing.in_turn(runs, REPEATS)
    ours = statistics.median(seconds["ours"])
    known = {"env_steps_per_second": steps / ours, "updates_per_second": UPDATES[width] / ours}
    if "sbx" not in seconds:
        return known
    rounds = zip(seconds["sbx"], seconds["ours"], strict=True)
    of_sbx = statistics.median(theirs / own for theirs, own in rounds)
    return known | {"sbx_updates_per_second": UPDATES[width] / statistics.median(seconds["sbx"]), "of_sbx": of_sbx}


def configure(worlds: int, ratio: float, width: int, steps: int) -> ExperimentConfig:
    """A run whose iteration is `steps` environment steps and what they are worth in updates."""
    base = PRESETS["halfcheetah-sac"].config
    network = NetworkConfig(hidden=(width, width), activation="relu")
    algorithm = SacConfig(
        envs_per_task=worlds,
        unroll=steps // worlds,
        updates_per_step=ratio,
        batch_size=BATCH,
        random_steps=WARM_UP,
        capacity=100_000,
        critic=QCriticConfig(network),
    )
    return dataclasses.replace(base, algorithm=algorithm, policy=dataclasses.replace(base.policy, network=network))


def our_round(worlds: int, ratio: float, width: int, steps: int) -> Callable[[], None]:
    """An iteration of a run whose replay is warm."""
    iteration = MetaIteration(configure(worlds, ratio, width, steps))
    for _ in range(WARM_UP // steps + 1):
        iteration()
    return iteration


def sbx_round(worlds: int, ratio: float, width: int, steps: int) -> Callable[[], Any]:
    """The same of SBX: `train_freq` vector steps, then its updates in one call."""
    from sbx import SAC
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env("HalfCheetah-v5", n_envs=worlds, seed=0)
    agent = SAC(
        "MlpPolicy",
        envs,
        batch_size=BATCH,
        learning_starts=WARM_UP,
        train_freq=1,
        gradient_steps=round(ratio * worlds),
        policy_kwargs={"net_arch": [width, width]},
        seed=0,
    )
    agent.learn(WARM_UP + worlds)
    return lambda: agent.learn(steps, reset_num_timesteps=False)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Updates per second of both."""
    measured = [row for row in reversed(rows) if row["updates_per_second"] is not None]
    labels = [f"width {row['width']}, {row['worlds']} worlds, ratio {row['ratio']:.3g}" for row in measured]
    with figures.axes(path, "SAC on HalfCheetah-v5") as axes:
        axes.barh(labels, [row["updates_per_second"] for row in measured], height=0.4, align="edge", label="metarl_jax")
        axes.barh(
            labels, [row["sbx_updates_per_second"] or 0.0 for row in measured], height=-0.4, align="edge", label="SBX"
        )
        axes.set(xlabel="updates / s", xscale="log")
        axes.legend(frameon=False, fontsize="small")
