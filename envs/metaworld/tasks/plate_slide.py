"""plate-slide-v3, -side, -back and -back-side: a plate slides on rails of its own into a small goal or out of it."""

import functools

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Moment, Pose, Verdict
from ..rewards import distance, hamacher_product, tolerance
from ..scenes import Settled, geom, geom_quat
from . import puck


def place_plate(settled: Settled, vector: Array, *, offset: tuple[float, float]) -> Pose:
    """The plate's joints measure from the middle of the table, (0, 0.6); it keeps its velocity."""
    return Pose(settled.qpos.at[9:11].set(jnp.array(offset)), settled.qvel)


def reward_pushing(moment: Moment) -> Verdict:
    """Reaching the plate and moving it count together."""
    reached, in_place = nearness(moment, inner=0.0)
    return verdict(moment, 8.0 * hamacher_product(reached, in_place), reached, in_place)


def reward_dragging(moment: Moment) -> Verdict:
    """Moving the plate counts while the finger tips are on the table beside it or inside it."""
    reached, in_place = nearness(moment, inner=puck.TARGET_RADIUS)
    tcp = moment.readings["tcp"]
    at_plate = (tcp[2] <= 0.03) & (distance(tcp, moment.obj) < 0.07)
    return verdict(moment, jnp.where(at_plate, 2.0 + 7.0 * in_place, 1.5 * reached), reached, in_place)


def nearness(moment: Moment, inner: float) -> tuple[Array, Array]:
    """Of the finger tips to the plate, and of the plate to the goal; margins begin at the radius `inner`."""
    first = moment.memory["obj"]  # near where the plate began, not at it
    margin = distance(moment.settled.readings["tcp"], first) - inner
    reached = tolerance(distance(moment.readings["tcp"], moment.obj), (0.0, puck.TARGET_RADIUS), margin)
    margin = distance(first, moment.goal) - inner
    return reached, tolerance(distance(moment.obj, moment.goal), (0.0, puck.TARGET_RADIUS), margin)


def verdict(moment: Moment, reward: Array, reached: Array, in_place: Array) -> Verdict:
    to_goal = distance(moment.obj, moment.goal)
    return Verdict(
        reward=jnp.where(to_goal < puck.TARGET_RADIUS, 10.0, reward),
        success=to_goal <= 0.07,
        near_object=distance(moment.readings["tcp"], moment.obj) <= 0.03,
        grasp_success=0.0,
        grasp_reward=reached,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


PLATE_SLIDE = Family(
    scene="sawyer_plate_slide.xml",
    low=(0.0, 0.6, 0.0, -0.1, 0.85, 0.0),
    high=(0.0, 0.6, 0.0, 0.1, 0.9, 0.0),
    goal_low=(-0.1, 0.85, 0.0),
    goal_high=(0.1, 0.9, 0.0),
    fixture="puck_goal",
    fixture_pos=lambda vector: vector[3:],
    sensors={"obj": geom("puck"), "obj_quat": geom_quat("puck")},
    place=functools.partial(place_plate, offset=(0.0, 0.0)),
    objects=puck.objects,
    remember=puck.remember_vector,
    reward=reward_pushing,
)

# In "side" and "back" the package moves the goal's body where MuJoCo overwrites it: it stays where the scene has it.
PLATE_SLIDE_SIDE = PLATE_SLIDE._replace(
    scene="sawyer_plate_slide_sideway.xml",
    low=(0.0, 0.6, 0.0, -0.3, 0.54, 0.0),
    high=(0.0, 0.6, 0.0, -0.25, 0.66, 0.0),
    goal_low=(-0.3, 0.54, 0.0),
    goal_high=(-0.25, 0.66, 0.0),
    fixture=None,
    reward=reward_dragging,
)

PLATE_SLIDE_BACK = PLATE_SLIDE._replace(
    low=(0.0, 0.85, 0.0, -0.1, 0.6, 0.015),
    high=(0.0, 0.85, 0.0, 0.1, 0.6, 0.015),
    goal_low=(-0.1, 0.6, 0.015),
    goal_high=(0.1, 0.6, 0.015),
    fixture=None,
    place=functools.partial(place_plate, offset=(0.0, 0.15)),
    reward=reward_dragging,
)

PLATE_SLIDE_BACK_SIDE = PLATE_SLIDE_SIDE._replace(
    low=(-0.25, 0.6, 0.0, -0.05, 0.6, 0.015),
    high=(-0.25, 0.6, 0.0, 0.15, 0.6, 0.015),
    goal_low=(-0.05, 0.6, 0.015),
    goal_high=(0.15, 0.6, 0.015),
    fixture="puck_goal",
    fixture_pos=lambda vector: vector[:3],
    place=functools.partial(place_plate, offset=(-0.15, 0.0)),
)

FAMILIES = {
    "plate-slide-v3": PLATE_SLIDE,
    "plate-slide-side-v3": PLATE_SLIDE_SIDE,
    "plate-slide-back-v3": PLATE_SLIDE_BACK,
    "plate-slide-back-side-v3": PLATE_SLIDE_BACK_SIDE,
}
