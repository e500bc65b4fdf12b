"""soccer-v3: a ball is pushed into a goal."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Moment, Verdict, place_first
from ..rewards import tolerance
from ..scenes import body, body_quat
from . import puck

_TARGET_RADIUS = 0.07


def reward(moment: Moment) -> Verdict:
    obj, goal = moment.obj, moment.goal
    grasped = puck.pinching(moment, obj_radius=0.013, slack=0.01, xz_thresh=0.005)
    to_goal = stretched_distance(obj, goal)
    # The margin grows with the way of the ball: the package measures from where the ball is now.
    placed = tolerance(to_goal, (0.0, _TARGET_RADIUS), stretched_distance(obj, moment.memory["obj"]))
    placed = jnp.where(beside_goal(obj, goal), jnp.clip(placed - 2.0 * past_line(obj, goal), 0.0, 1.0), placed)
    total = jnp.where(to_goal < _TARGET_RADIUS, 10.0, 3.0 * grasped + 6.5 * placed)
    return puck.verdict(moment, total, placed, grasped, _TARGET_RADIUS)._replace(reward=total)


def stretched_distance(a: Array, b: Array) -> Array:
    """Missing the goal sideways counts three times."""
    return jnp.linalg.norm((a - b) * jnp.array([3.0, 1.0, 1.0]))


def past_line(ball: Array, goal: Array) -> Array:
    """How far the ball is beyond the goal's line; 1 at the far edge of the table."""
    line = goal[1] - 0.1
    return (ball[1] - line) / (1.0 - line)


def beside_goal(ball: Array, goal: Array) -> Array:
    return (past_line(ball, goal) > 0) & (jnp.abs(ball[0] - goal[0]) > 0.1)


SOCCER = Family(
    scene="sawyer_soccer.xml",
    low=(-0.1, 0.6, 0.03, -0.1, 0.8, 0.0),
    high=(0.1, 0.7, 0.03, 0.1, 0.9, 0.0),
    min_distance=0.15,
    goal_low=(-0.1, 0.8, 0.0),
    goal_high=(0.1, 0.9, 0.0),
    fixture="goal_whole",
    fixture_pos=lambda vector: vector[3:],
    sensors=puck.SENSORS | {"obj": body("soccer_ball"), "obj_quat": body_quat("soccer_ball")},
    place=place_first,
    objects=puck.objects,
    remember=puck.remember_vector,
    reward=reward,
)

FAMILIES = {"soccer-v3": SOCCER}
