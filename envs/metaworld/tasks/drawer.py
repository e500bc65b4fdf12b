"""drawer-close-v3: a drawer is pushed in."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint
from ..rewards import distance, hamacher_product, tolerance
from ..scenes import Readings, Settled, body

_TARGET_RADIUS = 0.05
_REACH_RADIUS = 0.005
_LENGTH = 0.15  # how far the drawer comes out, m


def pull_out(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, -_LENGTH, stops=False)


def handle(readings: Readings) -> Array:
    return readings["drawer"] + jnp.array([0.0, -0.16, 0.05])


def objects(readings: Readings) -> Array:
    """The package gives the drawer a quaternion of zeros."""
    return jnp.append(handle(readings), jnp.zeros(4))


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": handle(readings), "goal": vector + jnp.array([0.0, -0.16, 0.09])}


def reward(moment: Moment) -> Verdict:
    obj, first = moment.obj, moment.memory["obj"]
    to_goal = distance(obj, moment.goal)
    margin = jnp.abs(distance(first, moment.goal) - _TARGET_RADIUS)
    in_place = tolerance(to_goal, (0.0, _TARGET_RADIUS), margin)

    tcp_to_obj = distance(obj, moment.readings["tcp"])
    margin = jnp.abs(distance(first, moment.settled.readings["tcp"]) - _REACH_RADIUS)
    reach = tolerance(tcp_to_obj, (0.0, _REACH_RADIUS), margin, "gaussian")
    grasped = hamacher_product(reach, jnp.clip(moment.action[3], 0.0, 1.0))

    success = to_goal <= _TARGET_RADIUS + 0.015
    return Verdict(
        reward=jnp.where(success, 10.0, 10.0 * hamacher_product(grasped, in_place)),
        success=success,
        near_object=tcp_to_obj <= 0.01,
        grasp_success=1.0,
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


DRAWER_CLOSE = Family(
    scene="sawyer_drawer.xml",
    low=(-0.1, 0.9, 0.0),
    high=(0.1, 0.9, 0.0),
    goal_low=(-0.5, 0.4, 0.05),
    goal_high=(0.5, 1.0, 0.5),
    fixture="drawer",
    sensors={"drawer": body("drawer_link")},
    place=pull_out,
    objects=objects,
    remember=remember,
    reward=reward,
)

FAMILIES = {"drawer-close-v3": DRAWER_CLOSE}
