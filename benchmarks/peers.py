"""Side by side with what else is installed: stepping Meta-World, and MAML-PPO on ML10 beside the package merely stepping.

Every figure comes from a process of its own. Columns:
  comparison            "step TASK": uniformly random actions, ours in a jitted rollout with observation and reward; "MAML-PPO on
                        ML10": ours is a whole meta-iteration of the preset ml10-maml, learning included, and the peer steps as
                        many environment steps with random actions, and does not learn
  peer                  AsyncVectorEnv: the metaworld package's environments in a process each; EnvPool; MTCWorldMJX
  physics               ours
  environments          ours and the peer's, at the same time
  env_steps             done by both
  seconds, peer_seconds to do them: medians
  ratio                 peer_seconds over seconds: above 1, ours is faster
  note                  what is missing
"""

import statistics
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ..envs.physics import resolve_backend
from ..presets import PRESETS
from . import figures, isolated, meta_iteration, timing
from .meta_iteration import MetaIteration
from .metaworld import packages, throughput

TASKS = ("reach-v3", "pick-place-v3", "door-open-v3", "drawer-close-v3")
PRESET, SUITE = "ml10-maml", "ML10"
SUITE_STEPS = 1000  # of each of the peer's environments, per timed run
REPEATS = 3


class Setting(NamedTuple):
    """What a peer is compared with."""

    physics: str
    num_envs: int


SETTINGS = {  # MTCWorldMJX is made for many environments on a GPU
    "AsyncVectorEnv": Setting("mujoco", 64),
    "EnvPool": Setting("mujoco", 64),
    "MTCWorldMJX": Setting("warp", 512),
}


def measure() -> list[dict[str, Any]]:
    """A row for each task and peer, and one of ML10."""
    on_gpu = isolated.call(jax.default_backend) == "gpu"
    return [*(_stepping_row(name, peer, on_gpu) for name in TASKS for peer in SETTINGS), _learning_row()]


def _stepping_row(name: str, peer: str, on_gpu: bool) -> dict[str, Any]:
    physics, num_envs = SETTINGS[peer]
    work = num_envs * throughput.STEPS
    row = _row(f"step {name}", peer, physics, str(num_envs), work)
    if physics == "warp" and not on_gpu:
        return row | {"note": f"{peer} needs CUDA"}
    try:
        theirs = packages.rate(peer, name, num_envs, throughput.STEPS)
        if theirs is None:
            return row | {"note": f"{peer} is not installed"}
        ours = isolated.call(throughput.rate, name, physics, num_envs)
    except isolated.Failed as failure:
        return row | {"note": f"failed: {failure}"}
    return row | _times(work / ours, work / theirs)


def _learning_row() -> dict[str, Any]:
    config = PRESETS[PRESET].config
    num_tasks, envs_per_task = config.algorithm.num_tasks, config.algorithm.envs_per_task
    environments = f"{num_tasks * envs_per_task}, peer {num_tasks}"
    physics = isolated.call(resolve_backend, config.physics)
    row = _row(f"MAML-PPO on {SUITE}", "AsyncVectorEnv", physics, environments, None)
    try:
        work, seconds = isolated.call(iteration_seconds, PRESET, REPEATS)
        theirs = packages.rate("AsyncVectorEnv", SUITE, num_tasks, SUITE_STEPS)
    except isolated.Failed as failure:
        return row | {"note": f"failed: {failure}"}
    note = f"{num_tasks} tasks, {meta_iteration.describe(config)}; the peer's time follows from its rate"
    return row | {"env_steps": work, "note": note} | _times(seconds, work / theirs)


def iteration_seconds(preset: str, repeats: int) -> tuple[int, float]:
    """Environment steps and median seconds of a preset's meta-iteration, measured in this process."""
    iteration = MetaIteration(PRESETS[preset].config)
    return iteration.env_steps, statistics.median(timing.in_turn({preset: iteration}, repeats)[preset])


def _row(comparison: str, peer: str, physics: str, environments: str, work: int | None) -> dict[str, Any]:
    columns = {"comparison": comparison, "peer": peer, "physics": physics, "environments": environments}
    return columns | {"env_steps": work, "seconds": None, "peer_seconds": None, "ratio": None, "note": ""}


def _times(seconds: float, peer_seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "peer_seconds": peer_seconds, "ratio": peer_seconds / seconds}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A bar for each ratio; beyond the line, ours is faster."""
    measured = [row for row in reversed(rows) if row["ratio"] is not None]
    with figures.axes(path, "times as fast as the peer") as axes:
        labels = [f"{row['comparison']}\n{row['peer']}" for row in measured]
        axes.bar_label(axes.barh(labels, [row["ratio"] for row in measured]), fmt="%.2g")
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.tick_params(labelsize="small")
