"""The records of Meta-World: what a family of tasks is, and what its functions are given and give back.

A family is one of the package's 50 environments, "reach-v3" for instance. A task of it is its task vector, the package's
`rand_vec`: where the object or the fixture begins and, for some families, where the goal is (m).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from ...types import Array
from .scenes import Readings, Sensor, Settled

Memory = dict[str, Array]  # what an episode remembers of its beginning; rewards.gripper_caging needs "obj"


class Pose(NamedTuple):
    """Joint positions and velocities of a scene."""

    qpos: Array  # [nq]
    qvel: Array  # [nv]


class Moment(NamedTuple):
    """One control step, as a reward sees it.

    The package's `init_left_pad` and `init_right_pad` are views of MuJoCo's arrays, so that its rewards use where the pads
    are now, `readings["left_pad"]`. Where another "initial" value is such a view, use the reading and say so.
    """

    obs: Array  # [39], clipped; the goal may be hidden in it, so read `goal`
    action: Array  # [4]
    readings: Readings  # after the step
    memory: Memory
    goal: Array  # [3], the package's `_target_pos`
    settled: Settled  # the package's `init_tcp` is `settled.readings["tcp"]`

    @property
    def hand(self) -> Array:
        """`[3]`, m."""
        return self.obs[:3]

    @property
    def gripper_opening(self) -> Array:
        """`[]`, from 0 (closed) to 1; the package's `tcp_opened`."""
        return self.obs[3]

    @property
    def obj(self) -> Array:
        """Position of the first object, `[3]`, m."""
        return self.obs[4:7]

    @property
    def touching(self) -> Array:
        """`[]` bool: both pads press on the geom that was named to `scenes.pad_forces`."""
        return (self.readings["left_pad_force"][0] > 0) & (self.readings["right_pad_force"][0] > 0)


class Verdict(NamedTuple):
    """Reward and info of one step, every field `[]`; the names are the package's."""

    reward: Array | float
    success: Array | float
    near_object: Array | float
    grasp_success: Array | float
    grasp_reward: Array | float
    in_place_reward: Array | float
    obj_to_target: Array | float


class Family(NamedTuple):
    """One of Meta-World's environments as data and small pure functions."""

    scene: str  # file name in the package's assets/sawyer_xyz
    low: tuple[float, ...]  # bounds of the task vector
    high: tuple[float, ...]
    goal_low: tuple[float, ...]  # bounds of the goal where it is shown, m
    goal_high: tuple[float, ...]
    sensors: dict[str, Sensor]  # what the functions below read beside the arm's (see scenes.py)
    place: Callable[[Settled, Array], Pose]  # (settled scene, task vector) -> how an episode starts
    objects: Callable[[Readings], Array]  # -> [7 or 14]: position and quaternion of one or two objects, observed
    remember: Callable[[Array, Readings, Settled], Memory]  # (task vector, readings at the start, settled scene)
    reward: Callable[[Moment], Verdict]
    goal: Callable[[Readings, Memory], Array] = lambda readings, memory: memory["goal"]
    reward_v1: Callable[[Moment], Verdict] | None = None  # the package's first design (see rewards_v1.py)
    fixture: str | None = None  # the body that the task vector moves
    fixture_pos: Callable[[Array], Array] = lambda vector: vector[:3]
    hand_start: tuple[float, float, float] = (0.0, 0.6, 0.2)
    hand_low: tuple[float, float, float] = (-0.5, 0.4, 0.05)
    hand_high: tuple[float, float, float] = (0.5, 1.0, 0.5)
    settle_steps: int = 50  # one more where the package's reset steps the simulation once more
    settles_per_task: bool = False  # the hand or a loose object meets the fixture while the scene settles
    observes_before_placing: bool = False  # the package's reset makes no forward pass: it observes the settled readings
    min_distance: float = 0.0  # task vectors with vector[:2] nearer than this to vector[-3:-1] are rejected, m
    min_distance_to: tuple[float, float] | None = None  # ... to this point instead


def place_object(settled: Settled, position: Array, *, qpos_start: int = 9) -> Pose:
    """Puts a free object somewhere; its orientation stays. The package's `_set_obj_xyz`, velocities included."""
    qpos = settled.qpos.at[qpos_start : qpos_start + 3].set(position)
    return Pose(qpos, settled.qvel.at[9:15].set(0.0))


def place_first(settled: Settled, vector: Array) -> Pose:
    """Puts the free object at the first three numbers of the task vector."""
    return place_object(settled, vector[:3])


def place_joint(settled: Settled, value: float, *, stops: bool = True) -> Pose:
    """Sets the scene's one joint beyond the arm; `stops` zeroes its velocity too."""
    qvel = settled.qvel.at[9].set(0.0) if stops else settled.qvel
    return Pose(settled.qpos.at[9].set(value), qvel)


def stay(settled: Settled, vector: Array) -> Pose:
    """Places nothing: the task moves the fixture alone."""
    return Pose(settled.qpos, settled.qvel)


def scipy_quat(quat: Array) -> Array:
    """(w, x, y, z) as SciPy's `Rotation.from_matrix(...).as_quat()` gives it: (x, y, z, w), the largest number positive."""
    quat = jnp.roll(quat, -1)
    return jnp.where(quat[jnp.argmax(jnp.abs(quat))] < 0, -quat, quat)
