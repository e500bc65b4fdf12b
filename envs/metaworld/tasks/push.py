"""push-v3: a puck is pushed to a point of the table."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_object, scipy_quat
from ..rewards import Grip, distance, gripper_caging, tolerance
from ..scenes import Readings, Settled, body, geom_quat, pad_forces

_TARGET_RADIUS = 0.05
_GRIP = Grip(obj_radius=0.015, pad_success_thresh=0.05, xz_thresh=0.005, density="high")


def place(settled: Settled, vector: Array) -> Pose:
    return place_object(settled, _on_table(settled, vector[:2]))


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["obj"], scipy_quat(readings["obj_quat"])])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": _on_table(settled, vector[:2]), "goal": _on_table(settled, vector[3:5])}


def _on_table(settled: Settled, xy: Array) -> Array:
    """A point at the height where the puck settled."""
    return jnp.append(xy, settled.readings["obj"][2])


def reward(moment: Moment) -> Verdict:
    obj, opening = moment.obj, moment.gripper_opening
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    to_goal = distance(obj, moment.goal)
    in_place = tolerance(to_goal, (0.0, _TARGET_RADIUS), distance(moment.memory["obj"], moment.goal))
    grasped = gripper_caging(moment, obj, _GRIP)
    near = (tcp_to_obj < 0.02) & (opening > 0)
    total = jnp.where(near, 1.0 + 4.0 * grasped + 5.0 * in_place, 2.0 * grasped)
    lifted = obj[2] - 0.02 > moment.memory["obj"][2]
    return Verdict(
        reward=jnp.where(to_goal < _TARGET_RADIUS, 10.0, total),
        success=to_goal <= _TARGET_RADIUS,
        near_object=tcp_to_obj <= 0.03,
        grasp_success=moment.touching & (opening > 0) & lifted,
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


PUSH = Family(
    scene="sawyer_push_v3.xml",
    low=(-0.1, 0.6, 0.02, -0.1, 0.8, 0.01),
    high=(0.1, 0.7, 0.02, 0.1, 0.9, 0.02),
    min_distance=0.15,
    goal_low=(-0.1, 0.8, 0.01),
    goal_high=(0.1, 0.9, 0.02),
    sensors={"obj": body("obj"), "obj_quat": geom_quat("objGeom"), **pad_forces("objGeom")},
    place=place,
    objects=objects,
    remember=remember,
    reward=reward,
)

FAMILIES = {"push-v3": PUSH}
