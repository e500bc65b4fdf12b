"""Scenes of the installed `metaworld` package (MIT, Farama Foundation) as MuJoCo models that all worlds can share.

Where the package moves a body by writing to the model, we make that body ("the fixture") a mocap body: its position is
then state. Everything else, contacts included, is as in the package's own model.
"""

import copy
import functools
import importlib.resources
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ...types import Array
from ..physics import Physics
from ..physics.mujoco import num_threads

SUBSTEPS = 5
_HAND_QUAT = (1.0, 0.0, 1.0, 0.0)
_WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0, 0.0)
_OPEN_GRIPPER = (-1.0, 1.0)

Readings = dict[str, Array]  # sensor readings by name


class Sensor(NamedTuple):
    """A quantity that MuJoCo measures on a named object of the model."""

    kind: str  # a key of _KINDS
    object: str


_KINDS = {  # how MuJoCo declares each kind: type of sensor, type of object
    "body": (mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtObj.mjOBJ_XBODY),
    "body_quat": (mujoco.mjtSensor.mjSENS_FRAMEQUAT, mujoco.mjtObj.mjOBJ_XBODY),
    "geom": (mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtObj.mjOBJ_GEOM),
    "geom_quat": (mujoco.mjtSensor.mjSENS_FRAMEQUAT, mujoco.mjtObj.mjOBJ_GEOM),
    "site": (mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtObj.mjOBJ_SITE),
    "site_quat": (mujoco.mjtSensor.mjSENS_FRAMEQUAT, mujoco.mjtObj.mjOBJ_SITE),
    "joint": (mujoco.mjtSensor.mjSENS_JOINTPOS, mujoco.mjtObj.mjOBJ_JOINT),
    "left_pad_force": (mujoco.mjtSensor.mjSENS_CONTACT, mujoco.mjtObj.mjOBJ_GEOM),
    "right_pad_force": (mujoco.mjtSensor.mjSENS_CONTACT, mujoco.mjtObj.mjOBJ_GEOM),
}
_PADS = {"left_pad_force": "leftpad_geom", "right_pad_force": "rightpad_geom"}


def body(name: str) -> Sensor:
    """Position of a body's frame, `[3]`, m (the package's `get_body_com` and `data.body(name).xpos`)."""
    return Sensor("body", name)


def body_quat(name: str) -> Sensor:
    """Orientation of a body's frame, `[4]`, (w, x, y, z)."""
    return Sensor("body_quat", name)


def geom(name: str) -> Sensor:
    """Position of a geom, `[3]`, m."""
    return Sensor("geom", name)


def geom_quat(name: str) -> Sensor:
    """Orientation of a geom, `[4]`, (w, x, y, z); `family.scipy_quat` turns it into the package's form."""
    return Sensor("geom_quat", name)


def site(name: str) -> Sensor:
    """Position of a site, `[3]`, m."""
    return Sensor("site", name)


def site_quat(name: str) -> Sensor:
    """Orientation of a site, `[4]`, (w, x, y, z)."""
    return Sensor("site_quat", name)


def joint(name: str) -> Sensor:
    """Position of a hinge or slide joint, `[]`, rad or m."""
    return Sensor("joint", name)


def pad_forces(geom_name: str) -> dict[str, Sensor]:
    """The strongest contact force of each finger's pad on a geom, `[3]` in the contact's frame (normal first), N."""
    return {
        "left_pad_force": Sensor("left_pad_force", geom_name),
        "right_pad_force": Sensor("right_pad_force", geom_name),
    }


_ARM = {
    "hand": body("hand"),
    "left_claw": body("leftclaw"),
    "right_claw": body("rightclaw"),
    "left_finger": site("leftEndEffector"),
    "right_finger": site("rightEndEffector"),
    "left_pad": body("leftpad"),
    "right_pad": body("rightpad"),
}


class Scene(NamedTuple):
    """A model, and where things are in its arrays."""

    model: mujoco.MjModel
    hand: int  # row of the hand in mocap_pos
    fixture: int | None  # row of the fixture in mocap_pos
    places: tuple[tuple[str, slice], ...]  # where each sensor is in sensordata

    def read(self, sensordata: Array) -> Readings:
        """Readings by name; `tcp` is the middle between the finger tips."""
        readings = {name: sensordata[where] for name, where in self.places}
        for name in [name for name, value in readings.items() if value.shape == (1,)]:
            readings[name] = readings[name][0]
        return readings | {"tcp": (readings["left_finger"] + readings["right_finger"]) / 2}


class Settled(NamedTuple):
    """A scene after the hand went to its start, before the task places its object."""

    qpos: Array  # [nq]
    qvel: Array  # [nv]
    mocap_pos: Array  # [nmocap, 3]
    readings: Readings  # of the last substep's beginning, as in the package, which reads them without a forward pass
    qpos_read: Array  # [nq] at that moment
    warmstart: Array  # [nv]


@functools.cache
def load(xml: str, fixture: str | None, sensors: tuple[tuple[str, Sensor], ...], visuals: bool = False) -> Scene:
    """Builds a scene.

    Args:
      xml: file name in the package's `assets/sawyer_xyz`.
      fixture: the body that the task moves, if it moves one.
      sensors: what to measure beside the arm.
      visuals: keep what is only there to be looked at, two thirds of the geoms; it changes no number and costs 10 %.
    """
    path = importlib.resources.files("metaworld") / "assets" / "sawyer_xyz" / xml
    spec = mujoco.MjSpec.from_file(str(path))
    spec.body("mocap").quat = _HAND_QUAT  # the package writes it at every step
    original = spec.compile()
    if fixture is not None:
        spec.body(fixture).mocap = True
        _keep_contacts(spec, original)
    measured = {**_ARM, **dict(sensors)}
    for name, sensor in measured.items():
        _add_sensor(spec, name, sensor)
    spec.modelname = xml.removesuffix(".xml")
    spec.compiler.discardvisual = not visuals  # keeps what a sensor measures; earlier it would not
    model = spec.compile()
    model.eq_data[model.eq_type == mujoco.mjtEq.mjEQ_WELD] = _WELD  # the package's `reset_mocap_welds`
    starts = {name: model.sensor(name) for name in measured}
    return Scene(
        model=model,
        hand=model.body("mocap").mocapid.item(),
        fixture=None if fixture is None else model.body(fixture).mocapid.item(),
        places=tuple((name, slice(s.adr.item(), s.adr.item() + s.dim.item())) for name, s in starts.items()),
    )


def without_margins(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy whose geoms touch only when they meet, since Warp refuses the 1 mm margins that some scenes have."""
    model = copy.copy(model)
    model.geom_margin[:] = 0.0
    return model


@functools.lru_cache(maxsize=4096)
def settle(scene_args: tuple, hand_start: tuple, fixture_pos: tuple | None, steps: int) -> Settled:
    """The hand moved to its start with an open gripper, as the package's `_reset_hand` does.

    Args:
      scene_args: arguments of `load`.
      hand_start: where to, m.
      fixture_pos: where the fixture stands meanwhile, m.
      steps: control steps of `SUBSTEPS` substeps.
    """
    scene = load(*scene_args)
    data = mujoco.MjData(scene.model)
    data.mocap_pos[scene.hand] = hand_start
    if scene.fixture is not None:
        data.mocap_pos[scene.fixture] = fixture_pos
    data.ctrl[:] = _OPEN_GRIPPER
    mujoco.mj_step(scene.model, data, nstep=steps * SUBSTEPS - 1)
    qpos_read = data.qpos.copy()
    mujoco.mj_step(scene.model, data)
    readings = scene.read(data.sensordata.copy())
    return Settled(
        data.qpos.copy(), data.qvel.copy(), data.mocap_pos.copy(), readings, qpos_read, data.qacc_warmstart.copy()
    )


def settle_within(physics: Physics, scene: Scene, hand_start: tuple, fixture_pos: Array, steps: int) -> Settled:
    """As `settle`, by the physics backend itself within the program that asks for it: no host in between.

    Args:
      physics: to step the scene with.
      scene: whose numbers of bodies are meant.
      hand_start: where to, m.
      fixture_pos: where the fixture stands meanwhile, `[3]`, m.
      steps: control steps of `SUBSTEPS` substeps.
    """
    model = physics.model
    mocap_pos = jnp.asarray(model.body_pos[model.body_mocapid >= 0], float)
    mocap_pos = mocap_pos.at[scene.hand].set(jnp.array(hand_start)).at[scene.fixture].set(fixture_pos)
    state = physics.reset(jnp.asarray(model.qpos0, float), jnp.zeros(model.nv), {}, mocap_pos)
    ctrl = jnp.array(_OPEN_GRIPPER)
    state, _ = jax.lax.scan(lambda s, _: (physics.step(s, ctrl, {}), None), state, length=steps - 1)
    before = physics.advance(state, ctrl, {}, SUBSTEPS - 1)
    after = physics.advance(before, ctrl, {}, 1)
    return Settled(after.qpos, after.qvel, mocap_pos, scene.read(before.sensordata), before.qpos, after.warmstart)


def settle_each(settle_at: Callable[[tuple], Settled], fixture_pos: np.ndarray) -> Settled:
    """`settle_at` on host threads for each place of the fixture, `[..., 3]`, m; leaves `[..., *]`, in its precision."""
    fixture_pos = np.asarray(fixture_pos)
    places = [tuple(place) for place in fixture_pos.reshape(-1, 3).tolist()]
    distinct = list(dict.fromkeys(places))
    with ThreadPoolExecutor(num_threads()) as pool:
        settled = dict(zip(distinct, pool.map(settle_at, distinct), strict=True))

    def stack(*rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows, fixture_pos.dtype).reshape(*fixture_pos.shape[:-1], *np.shape(rows[0]))

    return jax.tree.map(stack, *(settled[place] for place in places))


def _add_sensor(spec: mujoco.MjSpec, name: str, sensor: Sensor) -> None:
    kind, object_type = _KINDS[sensor.kind]
    if kind != mujoco.mjtSensor.mjSENS_CONTACT:
        spec.add_sensor(name=name, type=kind, objtype=object_type, objname=sensor.object)
        return
    force, strongest = 1 << mujoco.mjtConDataField.mjCONDATA_FORCE.value, 2  # the second: how to reduce
    spec.add_sensor(
        name=name,
        type=kind,
        objtype=object_type,
        objname=_PADS[sensor.kind],
        reftype=object_type,
        refname=sensor.object,
        intprm=[force, strongest, 1],
    )


def _keep_contacts(spec: mujoco.MjSpec, original: mujoco.MjModel) -> None:
    """Excludes the pairs of bodies that do not collide in `original`, since a mocap fixture changes MuJoCo's own rule.

    That rule skips bodies welded together, and a body and its parent unless the parent is the world. A mocap body is
    not welded to the world, and would be filtered as a parent.
    """
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    for element in spec.bodies:
        element.name = element.name or f"unnamed_{element.id}"
    names = {element.id: element.name for element in spec.bodies}
    weld, parent = original.body_weldid, original.body_parentid
    has_geoms = [i for i in range(original.nbody) if _can_collide(original, i)]
    for i, j in itertools.combinations(has_geoms, 2):
        related = weld[parent[weld[i]]] == weld[j] or weld[parent[weld[j]]] == weld[i]
        if weld[i] == weld[j] or (related and weld[i] != 0 and weld[j] != 0):
            spec.add_exclude(bodyname1=names[i], bodyname2=names[j])


def _can_collide(model: mujoco.MjModel, body_id: int) -> bool:
    geoms = slice(model.body_geomadr[body_id], model.body_geomadr[body_id] + model.body_geomnum[body_id])
    return bool((model.geom_contype[geoms] | model.geom_conaffinity[geoms]).any())
