"""window-close-v3 and window-open-v3: a window is pushed along its rail."""

import functools

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint
from ..rewards import distance, hamacher_product, nearing
from ..scenes import Readings, Settled, site

_TARGET_RADIUS = 0.05
_HANDLE_RADIUS = 0.02
_WIDTH = 0.2  # how far the window opens along x, m


def place(settled: Settled, vector: Array, *, opening: float) -> Pose:
    return place_joint(settled, opening, stops=False)


def objects(readings: Readings) -> Array:
    """The package gives the window a quaternion of zeros."""
    return jnp.append(readings["handle"], jnp.zeros(4))


def remember_close(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """`way` is how far the handle has to go, m; the package reads it before it opens the window, and adds the width."""
    first = readings["handle"] + jnp.array([_WIDTH, 0.0, 0.0])
    return {"obj": first, "goal": vector, "way": jnp.abs(first[0] - vector[0])}


def remember_open(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """`way` is how far the window has to go, m."""
    goal = vector + jnp.array([_WIDTH, 0.0, 0.0])
    return {"obj": readings["handle"], "goal": goal, "way": jnp.array(_WIDTH)}


def reward(moment: Moment, *, reach_sigmoid: str) -> Verdict:
    obj = moment.obj
    to_goal = jnp.abs(obj[0] - moment.goal[0])
    in_place = nearing(to_goal, moment.memory["way"], _TARGET_RADIUS)
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    first = distance(moment.memory["obj"], moment.settled.readings["tcp"])
    reach = nearing(tcp_to_obj, first, _HANDLE_RADIUS, reach_sigmoid)
    return Verdict(
        reward=10.0 * hamacher_product(reach, in_place),
        success=to_goal <= _TARGET_RADIUS,
        near_object=tcp_to_obj <= 0.05,
        grasp_success=1.0,
        grasp_reward=reach,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


def reward_v1(moment: Moment) -> Verdict:
    """The progress may be negative: window-open begins farther from its goal than it opens, and being at its handle costs."""
    to_goal = jnp.abs(moment.obj[0] - moment.goal[0])
    total = rewards_v1.reach_and_move(moment, rewards_v1.progress(to_goal, _WIDTH))
    return rewards_v1.verdict(total, to_goal, _TARGET_RADIUS)._replace(grasp_success=1.0)


WINDOW_CLOSE = Family(
    scene="sawyer_window_horizontal.xml",
    low=(0.0, 0.75, 0.2),
    high=(0.0, 0.9, 0.2),
    goal_low=(-0.5, 0.4, 0.05),
    goal_high=(0.5, 1.0, 0.5),
    hand_start=(0.0, 0.4, 0.2),
    fixture="window",
    observes_before_placing=True,
    sensors={"handle": site("handleCloseStart")},
    place=functools.partial(place, opening=_WIDTH),
    objects=objects,
    remember=remember_close,
    reward=functools.partial(reward, reach_sigmoid="gaussian"),
    reward_v1=reward_v1,
)

WINDOW_OPEN = WINDOW_CLOSE._replace(
    low=(-0.1, 0.7, 0.16),
    high=(0.1, 0.9, 0.16),
    sensors={"handle": site("handleOpenStart")},
    place=functools.partial(place, opening=0.0),
    remember=remember_open,
    reward=functools.partial(reward, reach_sigmoid="long_tail"),
)

FAMILIES = {"window-close-v3": WINDOW_CLOSE, "window-open-v3": WINDOW_OPEN}
