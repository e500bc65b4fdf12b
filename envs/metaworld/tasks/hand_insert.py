"""hand-insert-v3: a block is put into a hole of the table, by hand."""

import jax.numpy as jnp

from ..family import Family, Moment, Verdict, place_first
from ..rewards import gripper_caging, hamacher_product
from . import puck


def reward(moment: Moment) -> Verdict:
    placed = puck.in_place(moment)
    grasped = gripper_caging(moment, moment.obj, puck.GRIP)
    bonus = jnp.where(puck.near(moment, 0.02), 1.0 + 7.0 * placed, 0.0)
    return puck.verdict(moment, hamacher_product(grasped, placed) + bonus, placed, grasped, puck.TARGET_RADIUS)


HAND_INSERT = Family(
    scene="sawyer_table_with_hole.xml",
    low=(-0.1, 0.6, 0.05, -0.04, 0.8, -0.0201),
    high=(0.1, 0.7, 0.05, 0.04, 0.88, -0.0199),
    min_distance=0.15,
    goal_low=(-0.04, 0.8, -0.0201),
    goal_high=(0.04, 0.88, -0.0199),
    hand_low=(-0.5, 0.4, -0.15),
    sensors=puck.WXYZ_SENSORS,
    place=place_first,
    objects=puck.wxyz_objects,
    remember=puck.remember_vector,
    reward=reward,
)

FAMILIES = {"hand-insert-v3": HAND_INSERT}
