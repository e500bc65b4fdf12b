"""MuJoCo behind one interface: `make_physics(model, substeps, backend)`."""

import contextlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Callable, Sequence

import jax
from mujoco import MjModel

from ...errors import lookup
from .. import BACKENDS
from .base import ModelParams, Physics, PhysicsState, is_unstable

__all__ = [
    "ModelParams",
    "Physics",
    "PhysicsState",
    "complaints",
    "is_unstable",
    "make_physics",
    "resolve_backend",
    "together",
]


def resolve_backend(name: str) -> str:
    """The backend that `name` stands for on the default device; errors on a name that is none."""
    lookup(name, BACKENDS, "physics backend")
    if name != "auto":
        return name
    platform = jax.default_backend()
    if platform == "gpu":
        return "warp" if importlib.util.find_spec("warp") else "mjx"
    return "mujoco" if platform == "cpu" else "mjx"


def make_physics(model: MjModel, substeps: int, backend: str, fields: tuple[str, ...] = ()) -> Physics:
    """Builds the backend; raises ConfigError where it is missing or cannot simulate the model.

    Args:
      model: what to simulate. Sensors on it appear in `PhysicsState.sensordata`.
      substeps: integration steps per call of `step`.
      backend: a name of `envs.BACKENDS`.
      fields: names of mjData arrays to return in `PhysicsState.fields`.
    """
    backend = resolve_backend(backend)
    with contextlib.redirect_stdout(io.StringIO()):  # MJX prints which extras it does not find; errors are raised
        module = importlib.import_module(f".{backend}", __name__)  # lazily: warp is an extra
    return getattr(module, f"{backend.capitalize()}Physics")(model, substeps, fields)


def together(physics: Sequence[Physics]) -> Callable | None:
    """`step` of several scenes at once, where their backend has one; None where it steps them one after the other.

    A function of states and controls, P of each with leading axes `[N, E]`, to the P states after; no parameters are overridden.
    """
    step: Callable | None = getattr(physics[0], "step_together", None)
    if step is None or len({type(each) for each in physics}) > 1:
        return None
    return lambda states, ctrls: step(physics, states, ctrls)


def complaints() -> list[str]:
    """What the simulators of this process had to leave out since this was last asked, in words. Waits for the device."""
    # A backend that was never used need not be there.
    used = [sys.modules.get(f"{__name__}.{name}") for name in ("mujoco", "warp_worlds")]
    return [words for module in used if module is not None for words in module.complaints()]
