"""drawer-close-v3 and drawer-open-v3: a drawer is pushed in, or pulled out."""

from functools import partial

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint, stay
from ..rewards import distance, hamacher_product, nearing, tolerance
from ..scenes import Readings, Settled, body, body_quat

_TARGET_RADIUS = 0.05
_REACH_RADIUS = 0.005
_PULLED_OUT = 0.15  # where drawer-close starts, m
_TO_OPEN = 0.2  # how far drawer-open wants it, m
_HANDLE = (0.0, -0.16, 0.0)  # from the drawer's middle, m
_HANDLE_TOP = (0.0, -0.16, 0.05)
_CLOSED = (0.0, -0.16, 0.09)  # where the handle of a closed drawer is, from the task vector


def pull_out(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, -_PULLED_OUT, stops=False)


def handle_top(readings: Readings) -> Array:
    return readings["drawer"] + jnp.array(_HANDLE_TOP)


def objects_close(readings: Readings) -> Array:
    """The package gives the drawer a quaternion of zeros."""
    return jnp.append(handle_top(readings), jnp.zeros(4))


def objects_open(readings: Readings) -> Array:
    return jnp.concatenate([readings["drawer"] + jnp.array(_HANDLE), readings["drawer_quat"]])


def remember_close(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": handle_top(readings), "goal": vector + jnp.array(_CLOSED)}


def remember_open(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """`first` is where the handle of the closed drawer is."""
    first = vector + jnp.array(_CLOSED)
    return {"first": first, "goal": first - jnp.array([0.0, _TO_OPEN, 0.0])}


def reward_close(moment: Moment) -> Verdict:
    obj, first = moment.obj, moment.memory["obj"]
    to_goal = distance(obj, moment.goal)
    in_place = nearing(to_goal, distance(first, moment.goal), _TARGET_RADIUS)
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    reach = nearing(tcp_to_obj, distance(first, moment.settled.readings["tcp"]), _REACH_RADIUS, "gaussian")
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


def reward_open(moment: Moment) -> Verdict:
    """The hand is drawn to the handle, in height less than sideways, so that it can come down on it from above."""
    handle, scale = moment.obj, jnp.array([3.0, 3.0, 1.0])
    to_goal = distance(handle, moment.goal)
    opened = tolerance(to_goal, (0.0, 0.02), _TO_OPEN)
    margin = distance(scale * moment.memory["first"], scale * moment.settled.readings["tcp"])
    caging = tolerance(distance(scale * handle, scale * moment.hand), (0.0, 0.01), margin)
    return Verdict(
        reward=5.0 * (caging + opened),
        success=to_goal <= 0.03,
        near_object=distance(handle, moment.hand) <= 0.03,
        grasp_success=moment.gripper_opening > 0,
        grasp_reward=caging,
        in_place_reward=opened,
        obj_to_target=to_goal,
    )


def reward_v1(moment: Moment, *, way: float, success_radius: float, grasp_success: float) -> Verdict:
    to_goal = jnp.abs(moment.obj[1] - moment.goal[1])
    total = rewards_v1.reach_and_move(moment, rewards_v1.gain(to_goal, way))
    return rewards_v1.verdict(total, to_goal, success_radius)._replace(grasp_success=grasp_success)


DRAWER_CLOSE = Family(
    scene="sawyer_drawer.xml",
    low=(-0.1, 0.9, 0.0),
    high=(0.1, 0.9, 0.0),
    goal_low=(-0.5, 0.4, 0.05),
    goal_high=(0.5, 1.0, 0.5),
    fixture="drawer",
    sensors={"drawer": body("drawer_link")},
    place=pull_out,
    objects=objects_close,
    remember=remember_close,
    reward=reward_close,
    reward_v1=partial(reward_v1, way=_PULLED_OUT, success_radius=_TARGET_RADIUS + 0.015, grasp_success=1.0),
)

DRAWER_OPEN = DRAWER_CLOSE._replace(
    sensors={"drawer": body("drawer_link"), "drawer_quat": body_quat("drawer_link")},
    place=stay,
    observes_before_placing=True,
    objects=objects_open,
    remember=remember_open,
    reward=reward_open,
    reward_v1=partial(reward_v1, way=_TO_OPEN, success_radius=0.03, grasp_success=0.0),
)

FAMILIES = {"drawer-close-v3": DRAWER_CLOSE, "drawer-open-v3": DRAWER_OPEN}
