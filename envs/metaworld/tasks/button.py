"""button-press-v3 and -topdown-v3, both also with a wall in the way: a button of a box on the table is pressed."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint, stay
from ..rewards import distance, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat, site

_TRAVEL = 0.0935  # from the box's site "buttonStart" to its site "hole", m
_PRESSED_DOWN = 0.024  # m from the goal


class Press(NamedTuple):
    """How a button is pressed, lengths in m."""

    axis: int  # along which it moves: 1 away from the arm, 2 down
    travel: float  # from the unpressed button to the goal
    near_radius: float  # the tcp is as near as can be
    success_radius: float
    total: Callable[[Array, Array, Array, Array], Array]  # (gripper opening, tcp to button, near, pressed) -> reward


def reward(moment: Moment, *, press: Press) -> Verdict:
    obj, opening, tcp = moment.obj, moment.gripper_opening, moment.readings["tcp"]
    tcp_to_obj = distance(obj, tcp)
    to_goal = jnp.abs(moment.goal[press.axis] - obj[press.axis])
    near = tolerance(tcp_to_obj, (0.0, press.near_radius), distance(obj, moment.settled.readings["tcp"]))
    pressed = tolerance(to_goal, (0.0, 0.005), press.travel)
    return Verdict(
        reward=press.total(opening, tcp_to_obj, near, pressed),
        success=to_goal <= press.success_radius,
        near_object=tcp_to_obj <= 0.05,
        grasp_success=opening > 0,
        grasp_reward=near,
        in_place_reward=pressed,
        obj_to_target=to_goal,
    )


def with_open_gripper(opening: Array, tcp_to_obj: Array, near: Array, pressed: Array) -> Array:
    return 2.0 * hamacher_product(opening, near) + jnp.where(tcp_to_obj <= 0.05, 8.0 * pressed, 0.0)


def with_closed_gripper(opening: Array, tcp_to_obj: Array, near: Array, pressed: Array) -> Array:
    return 5.0 * hamacher_product(1.0 - opening, near) + jnp.where(tcp_to_obj <= 0.03, 5.0 * pressed, 0.0)


def closed_then_open(opening: Array, tcp_to_obj: Array, near: Array, pressed: Array) -> Array:
    """The gripper comes closed, and opens at the button."""
    approach = 2.0 * hamacher_product((1.0 - opening) / 2.0, near)
    return jnp.where(tcp_to_obj > 0.07, approach, 2.0 + 2.0 * (1.0 + opening) + 4.0 * pressed**2)


def reward_topdown_v1(moment: Moment) -> Verdict:
    to_goal = jnp.abs(moment.goal[2] - moment.obj[2])
    return rewards_v1.verdict(
        rewards_v1.reach_and_move(moment, rewards_v1.gain(to_goal, _TRAVEL)), to_goal, _PRESSED_DOWN
    )


def release(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, 0.0)


def objects(readings: Readings, *, face: tuple[float, float, float]) -> Array:
    """The button's middle, `face` from its body's origin; its orientation is the body's."""
    return jnp.concatenate([readings["button"] + jnp.array(face), readings["button_quat"]])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": readings["hole"]}


BUTTON_PRESS = Family(
    scene="sawyer_button_press.xml",
    low=(-0.1, 0.85, 0.115),
    high=(0.1, 0.9, 0.115),
    goal_low=(-0.5, 0.4, 0.05),
    goal_high=(0.5, 1.0, 0.5),
    fixture="box",
    hand_start=(0.0, 0.4, 0.2),
    sensors={"button": body("button"), "button_quat": body_quat("button"), "hole": site("hole")},
    place=release,
    objects=partial(objects, face=(0.0, -0.193, 0.0)),
    remember=remember,
    reward=partial(reward, press=Press(1, _TRAVEL, 0.05, 0.02, with_open_gripper)),
)

BUTTON_PRESS_WALL = BUTTON_PRESS._replace(
    scene="sawyer_button_press_wall.xml",
    low=(-0.05, 0.85, 0.1149),
    high=(0.05, 0.9, 0.1151),
    reward=partial(reward, press=Press(1, _TRAVEL, 0.01, 0.03, closed_then_open)),
)

BUTTON_PRESS_TOPDOWN = BUTTON_PRESS._replace(
    scene="sawyer_button_press_topdown.xml",
    low=(-0.1, 0.8, 0.115),
    high=(0.1, 0.9, 0.115),
    place=stay,
    objects=partial(objects, face=(0.0, 0.0, 0.193)),
    reward=partial(reward, press=Press(2, _TRAVEL, 0.01, _PRESSED_DOWN, with_closed_gripper)),
    reward_v1=reward_topdown_v1,
)

BUTTON_PRESS_TOPDOWN_WALL = BUTTON_PRESS_TOPDOWN._replace(scene="sawyer_button_press_topdown_wall.xml")

FAMILIES = {
    "button-press-topdown-v3": BUTTON_PRESS_TOPDOWN,
    "button-press-topdown-wall-v3": BUTTON_PRESS_TOPDOWN_WALL,
    "button-press-v3": BUTTON_PRESS,
    "button-press-wall-v3": BUTTON_PRESS_WALL,
}
