"""Pictures of an episode: MuJoCo's worlds by C MuJoCo's own renderer, the point on the plane by matplotlib."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import mujoco
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import ConfigError, lookup
from ..types import EnvState, MetaEnv, Task
from . import gl
from .locomotion import LocomotionEnv
from .metaworld import MetaWorldEnv
from .navigation import NavigationEnv
from .physics import PhysicsState

_POINT_SECONDS = 0.1  # per step of the point, whose time has no unit
_GOAL_RADIUS, _GOAL_COLOUR = 0.02, (1.0, 0.0, 0.8, 0.7)  # m; magenta, which nothing in the scenes is; translucent
# Two thirds of the time of drawing in software, for little to see.
_LEFT_OUT = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)


class View(NamedTuple):
    """How an environment is looked at."""

    dt: float  # s between two frames
    draw: Callable[[EnvState, Task], Iterator[np.ndarray]]  # states [T, ...] -> T frames [height, width, 3], uint8


@contextlib.contextmanager
def open_view(env: MetaEnv, camera: str | None, size: tuple[int, int], asked_gl: str = "") -> Iterator[View]:
    """A view of an environment; use as a context manager, which holds what the graphics driver lends.

    Args:
      env: of one of this package's classes.
      camera: a camera of the model; its usual one where None.
      size: (width, height) of the frames, pixels.
      asked_gl: see `gl.open_context`.

    Raises:
      ConfigError: no such camera, no OpenGL, or nothing is known about how to draw `env`.
    """
    if isinstance(env, NavigationEnv):
        if camera is not None:
            raise ConfigError(f"{env.spec.name!r} is drawn flat, without cameras: leave --camera {camera} out.")
        yield View(_POINT_SECONDS, lambda states, goal: _draw_plane(np.asarray(states), np.asarray(goal), size))
        return
    if isinstance(env, MetaWorldEnv):
        model = _without_goal_sites(env.visible_model())
        read: Callable = jax.jit(jax.vmap(lambda state: (state.physics, env.goal(state))))
        usual = _over_the_table(model)
    elif isinstance(env, LocomotionEnv):
        model = copy.copy(env.physics.model)
        read = lambda states: (states, None)  # noqa: E731
        usual = _camera(model, "track")  # all of Gymnasium's models have it
    else:
        raise ConfigError(f"{env.spec.name!r} cannot be drawn: envs/render.py does not know its class.")
    view = usual if camera is None else _camera(model, camera)
    model.vis.global_.offwidth, model.vis.global_.offheight = size
    window = gl.open_context(asked_gl, *size)
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    try:
        yield View(env.dt, lambda states, _: _draw_worlds(model, view, size, context, *jax.device_get(read(states))))
    finally:
        context.free()  # first: it frees what it has in the current OpenGL context
        window.free()


def _camera(model: mujoco.MjModel, name: str) -> mujoco.MjvCamera:
    """A camera of the model by name."""
    view = mujoco.MjvCamera()
    view.type = mujoco.mjtCamera.mjCAMERA_FIXED
    view.fixedcamid = lookup(name, {model.camera(i).name: i for i in range(model.ncam)}, "camera")
    return view


def _over_the_table(model: mujoco.MjModel) -> mujoco.MjvCamera:
    """Meta-World's table from beside the arm: the package's own cameras in its corners stand on their heads."""
    view = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, view)
    view.lookat[:], view.distance, view.azimuth, view.elevation = (0.0, 0.6, 0.15), 1.5, 140.0, -25.0
    return view


def _without_goal_sites(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy that does not show the scene's own marks of the goal, which stand where no task has put them."""
    model = copy.copy(model)
    for i in range(model.nsite):
        if "goal" in model.site(i).name:
            model.site_rgba[i, 3] = 0.0
    return model


def _draw_worlds(
    model: mujoco.MjModel,
    camera: mujoco.MjvCamera,
    size: tuple[int, int],
    context: mujoco.MjrContext,
    states: PhysicsState,
    goals: np.ndarray | None,
) -> Iterator[np.ndarray]:
    """Frames of worlds `[T, ...]`, with a ball at the goal `[T, 3]` where there is one."""
    data, scene, options = mujoco.MjData(model), mujoco.MjvScene(model, maxgeom=10_000), mujoco.MjvOption()
    scene.flags[list(map(int, _LEFT_OUT))] = False
    area = mujoco.MjrRect(0, 0, *size)
    for t in range(len(states.qpos)):
        for name in ("qpos", "qvel", "mocap_pos", "mocap_quat"):
            getattr(data, name)[:] = getattr(states, name)[t]
        mujoco.mj_forward(model, data)
        mujoco.mjv_updateScene(model, data, options, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
        if goals is not None:
            _add_ball(scene, goals[t])
        mujoco.mjr_render(area, scene, context)
        pixels = np.empty((size[1], size[0], 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, area, context)
        yield np.ascontiguousarray(np.flipud(pixels))  # OpenGL counts rows from below


def _add_ball(scene: mujoco.MjvScene, position: np.ndarray) -> None:
    radius = np.full(3, _GOAL_RADIUS)
    ball, upright = mujoco.mjtGeom.mjGEOM_SPHERE, np.eye(3).ravel()
    mujoco.mjv_initGeom(
        scene.geoms[scene.ngeom], ball, radius, np.asarray(position, float), upright, np.array(_GOAL_COLOUR, np.float32)
    )
    scene.ngeom += 1


def _draw_plane(path: np.ndarray, goal: np.ndarray, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Frames of a point that goes along `path` `[T, 2]`, and of its goal `[2]`."""
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(*goal, "*", color="#009e73", markersize=16)
    (trail,) = axes.plot([], [], "-", color="#7d828a")
    (point,) = axes.plot([], [], "o", color="#0072b2", markersize=8)
    seen = np.vstack([path, goal])
    centre, half = (seen.max(0) + seen.min(0)) / 2, 0.55 * np.ptp(seen, axis=0).max() + 0.1
    axes.set(xlim=centre[0] + half * np.array([-1, 1]), ylim=centre[1] + half * np.array([-1, 1]), aspect="equal")
    for t in range(len(path)):
        trail.set_data(*path[: t + 1].T)
        point.set_data(*path[t : t + 1].T)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()
