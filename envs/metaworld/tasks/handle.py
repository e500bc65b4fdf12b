"""handle-press-v3 and handle-pull-v3, both also sideways: a handle that slides up and down is pressed down or pulled up."""

from functools import partial

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint
from ..rewards import Grip, distance, gripper_caging, hamacher_product, tolerance
from ..scenes import Readings, Settled, site

_PRESS_RADIUS = 0.02  # of the goal
_HANDLE_RADIUS = 0.02
_PULL_RADIUS = 0.05  # of the goal
_NEAR = 0.05


def raise_handle(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, -0.001)


def lower_handle(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, -0.1)


def objects(readings: Readings) -> Array:
    """The package gives the handle a quaternion of zeros."""
    return jnp.append(readings["handle"], jnp.zeros(4))


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": readings["handle"], "goal": readings["goal"]}


def remember_box(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """handle-pull-v3 takes the box's position, near the table, for the handle's first one."""
    return {"obj": vector, "goal": readings["goal"]}


def press_reward(moment: Moment) -> Verdict:
    obj, first, goal = moment.obj, moment.memory["obj"], moment.goal
    to_goal = jnp.abs(obj[2] - goal[2])
    margin = jnp.abs(jnp.abs(first[2] - goal[2]) - _PRESS_RADIUS)
    in_place = tolerance(to_goal, (0.0, _PRESS_RADIUS), margin)

    tcp_to_obj = distance(obj, moment.readings["tcp"])
    margin = jnp.abs(distance(first, moment.settled.readings["tcp"]) - _HANDLE_RADIUS)
    reach = tolerance(tcp_to_obj, (0.0, _HANDLE_RADIUS), margin)

    success = to_goal <= _PRESS_RADIUS
    return Verdict(
        reward=jnp.where(success, 10.0, 10.0 * hamacher_product(reach, in_place)),
        success=success,
        near_object=tcp_to_obj <= _NEAR,
        grasp_success=1.0,
        grasp_reward=reach,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


def pull_reward(moment: Moment, *, grip: Grip, success_radius: float, sideways: bool) -> Verdict:
    obj, first, goal, opening = moment.obj, moment.memory["obj"], moment.goal, moment.gripper_opening
    axes = slice(None) if sideways else slice(2, None)  # only the height matters to handle-pull-v3
    to_goal = distance(obj[axes], goal[axes])
    in_place = tolerance(to_goal, (0.0, _PULL_RADIUS), distance(first[axes], goal[axes]))
    grasped = gripper_caging(moment, obj, grip)
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    # handle-pull-v3 compares the handle's y instead; like this, it holds wherever that handle can be.
    lifted = obj[2] - 0.01 > first[2]
    held = (tcp_to_obj < 0.035) & (opening > 0) & lifted
    total = hamacher_product(grasped, in_place) + jnp.where(held, 1.0 + 5.0 * in_place, 0.0)
    return Verdict(
        reward=jnp.where(to_goal < _PULL_RADIUS, 10.0, total),
        success=to_goal <= success_radius,
        near_object=tcp_to_obj <= _NEAR,
        grasp_success=(opening > 0) & (obj[2] - 0.03 > first[2]),
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


HANDLE_PRESS = Family(
    scene="sawyer_handle_press.xml",
    low=(-0.1, 0.8, -0.001),
    high=(0.1, 0.9, 0.001),
    goal_low=(-0.1, 0.55, 0.04),
    goal_high=(0.1, 0.7, 0.08),
    fixture="box",
    settles_per_task=True,  # on its way to its start, the hand may hit the handle
    sensors={"handle": site("handleStart"), "goal": site("goalPress")},
    place=raise_handle,
    objects=objects,
    remember=remember,
    reward=press_reward,
)

HANDLE_PRESS_SIDE = HANDLE_PRESS._replace(
    scene="sawyer_handle_press_sideways.xml",
    low=(-0.35, 0.65, -0.001),
    high=(-0.25, 0.75, 0.001),
    goal_low=(-0.5, 0.4, 0.05),
    goal_high=(0.5, 1.0, 0.5),
)

HANDLE_PULL = HANDLE_PRESS._replace(
    goal_high=(0.1, 0.7, 0.18),
    sensors={"handle": site("handleRight"), "goal": site("goalPull")},
    place=lower_handle,
    remember=remember_box,
    reward=partial(
        pull_reward,
        grip=Grip(obj_radius=0.022, pad_success_thresh=0.05, xz_thresh=0.01, density="high"),
        success_radius=0.05,
        sideways=False,
    ),
)

HANDLE_PULL_SIDE = HANDLE_PRESS_SIDE._replace(
    low=(-0.35, 0.65, 0.0),
    high=(-0.25, 0.75, 0.0),
    sensors={"handle": site("handleCenter"), "goal": site("goalPull")},
    place=lower_handle,
    reward=partial(
        pull_reward,
        grip=Grip(obj_radius=0.032, pad_success_thresh=0.06, xz_thresh=0.01, density="high"),
        success_radius=0.08,
        sideways=True,
    ),
)

FAMILIES = {
    "handle-press-side-v3": HANDLE_PRESS_SIDE,
    "handle-press-v3": HANDLE_PRESS,
    "handle-pull-side-v3": HANDLE_PULL_SIDE,
    "handle-pull-v3": HANDLE_PULL,
}
