"""sweep-v3: a block is swept off the table; sweep-into-v3: it is swept into a hole of the table."""

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Verdict, place_first
from ..rewards import distance, hamacher_product
from ..scenes import Readings, Settled
from . import puck

_RADIUS = 0.02  # the package's OBJ_RADIUS
_HOLE = (0.0, 0.84, 0.02)


def remember_edge(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """The goal is beyond the table's edge, straight to the right of the block."""
    return {"obj": vector, "goal": jnp.array([0.5, 0.0, 0.01]).at[1].set(vector[1])}


def remember_hole(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": puck.on_table(settled, vector[:2]), "goal": jnp.array(_HOLE)}


def reward_off(moment: Moment) -> Verdict:
    return sweeping(moment, puck.pinching(moment, _RADIUS, slack=0.01, xz_thresh=0.005))


def reward_into(moment: Moment) -> Verdict:
    """The block's height does not count."""
    moment = moment._replace(goal=moment.goal.at[2].set(moment.obj[2]))
    return sweeping(moment, puck.pinching(moment, _RADIUS, slack=0.005, xz_thresh=0.01))


def sweeping(moment: Moment, grasped: Array) -> Verdict:
    placed = puck.in_place(moment)
    total = 2.0 * grasped + 6.0 * hamacher_product(grasped, placed)
    verdict = puck.verdict(moment, total, placed, grasped, puck.TARGET_RADIUS)
    return verdict._replace(grasp_success=moment.touching & (moment.gripper_opening > 0))


def reward_off_v1(moment: Moment) -> Verdict:
    return sweeping_v1(moment, fallen(moment))


def reward_into_v1(moment: Moment) -> Verdict:
    y = moment.obj[1]
    return sweeping_v1(moment, fallen(moment) & (y > 0.4) & (y < 1.0))


def fallen(moment: Moment) -> Array:
    return moment.obj[2] < moment.memory["obj"][2] - 0.05


def sweeping_v1(moment: Moment, done: Array) -> Verdict:
    """A block that is `done` counts as at its goal, wherever it is, while the finger tips are at it."""
    goal = moment.goal[:2]
    reach = distance(moment.obj, moment.readings["tcp"])
    to_goal = jnp.where(done, 0.0, distance(moment.obj[:2], goal))
    swept = rewards_v1.gain(to_goal, distance(moment.memory["obj"][:2], goal))
    total = jnp.where(done, 0.0, -reach) + jnp.where(reach < rewards_v1.REACHED, swept, 0.0)
    return rewards_v1.verdict(total, to_goal, puck.TARGET_RADIUS)


SWEEP = Family(
    scene="sawyer_sweep_v3.xml",
    low=(-0.1, 0.6, 0.02),
    high=(0.1, 0.7, 0.02),
    goal_low=(0.49, 0.6, 0.0),
    goal_high=(0.51, 0.7, 0.02),
    sensors=puck.WXYZ_SENSORS,
    place=place_first,
    objects=puck.wxyz_objects,
    remember=remember_edge,
    reward=reward_off,
    reward_v1=reward_off_v1,
)

SWEEP_INTO = Family(
    scene="sawyer_table_with_hole.xml",
    low=(-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199),
    high=(0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201),
    min_distance=0.15,
    min_distance_to=_HOLE[:2],
    goal_low=(-0.001, 0.8399, 0.0199),
    goal_high=(0.001, 0.8401, 0.0201),
    sensors=puck.SENSORS,
    place=puck.place_on_table,
    objects=puck.objects,
    remember=remember_hole,
    reward=reward_into,
    reward_v1=reward_into_v1,
)

FAMILIES = {"sweep-v3": SWEEP, "sweep-into-v3": SWEEP_INTO}
