"""What the tasks with a loose puck, block or ball share; it holds no family itself."""

import jax.numpy as jnp

from ....types import Array
from ..family import Memory, Moment, Pose, Verdict, place_object, scipy_quat
from ..rewards import Grip, beside_in_xz, distance, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat, geom_quat, pad_forces

TARGET_RADIUS = 0.05
GRIP = Grip(obj_radius=0.015, pad_success_thresh=0.05, xz_thresh=0.005, density="high")
_PAD_REACH = 0.05  # how far beside the object the pads may be, m

SENSORS = {"obj": body("obj"), "obj_quat": geom_quat("objGeom"), **pad_forces("objGeom")}
WXYZ_SENSORS = SENSORS | {"obj_quat": body_quat("obj")}


def objects(readings: Readings) -> Array:
    """For SENSORS."""
    return jnp.concatenate([readings["obj"], scipy_quat(readings["obj_quat"])])


def wxyz_objects(readings: Readings) -> Array:
    """For WXYZ_SENSORS: where the package observes MuJoCo's own quaternion."""
    return jnp.concatenate([readings["obj"], readings["obj_quat"]])


def on_table(settled: Settled, xy: Array) -> Array:
    """A point at the height where the object settled."""
    return jnp.append(xy, settled.readings["obj"][2])


def place_on_table(settled: Settled, vector: Array) -> Pose:
    return place_object(settled, on_table(settled, vector[:2]))


def remember_vector(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": vector[:3], "goal": vector[3:]}


def near(moment: Moment, within: float) -> Array:
    """The finger tips are at the object and not closed, `[]` bool."""
    return (distance(moment.obj, moment.readings["tcp"]) < within) & (moment.gripper_opening > 0)


def lifted(moment: Moment, height: float) -> Array:
    """`[]` bool."""
    return moment.obj[2] - height > moment.memory["obj"][2]


def in_place(moment: Moment, radius: float = TARGET_RADIUS) -> Array:
    """How near the object is to its goal, in terms of how far it was."""
    return tolerance(distance(moment.obj, moment.goal), (0.0, radius), distance(moment.memory["obj"], moment.goal))


def verdict(moment: Moment, reward: Array, placed: Array, grasped: Array, success_radius: float = 0.07) -> Verdict:
    """`reward` counts until the object is at its goal."""
    to_goal = distance(moment.obj, moment.goal)
    return Verdict(
        reward=jnp.where(to_goal < TARGET_RADIUS, 10.0, reward),
        success=to_goal <= success_radius,
        near_object=distance(moment.obj, moment.readings["tcp"]) <= 0.03,
        grasp_success=moment.touching & (moment.gripper_opening > 0) & lifted(moment, 0.02),
        grasp_reward=grasped,
        in_place_reward=placed,
        obj_to_target=to_goal,
    )


def between_pads(moment: Moment, nearest: float, farthest: float) -> Array:
    """Each pad is on its side of the object, at a distance in y between the two given."""
    y = moment.obj[1]
    apart = jnp.stack([moment.readings["left_pad"][1] - y, y - moment.readings["right_pad"][1]])
    margins = jnp.abs(jnp.abs(apart) - _PAD_REACH)  # "initial" pads are where the pads are now
    sides = tolerance(apart, (nearest, farthest), margins)
    return hamacher_product(sides[0], sides[1])


def caging(moment: Moment, obj_radius: float, xz_thresh: float) -> Array:
    """How well the gripper surrounds the object, where the family has its own `_gripper_caging_reward`."""
    beside = between_pads(moment, obj_radius, _PAD_REACH)
    return hamacher_product(beside, beside_in_xz(moment, moment.obj, xz_thresh))


def pinching(moment: Moment, obj_radius: float, slack: float, xz_thresh: float) -> Array:
    """How well the gripper surrounds the object, and how tightly: the pads are within `slack` of its sides (m)."""
    caged = caging(moment, obj_radius, xz_thresh)
    tight = between_pads(moment, obj_radius, obj_radius + slack)
    return (caged + jnp.where(caged > 0.95, tight, 0.0)) / 2
