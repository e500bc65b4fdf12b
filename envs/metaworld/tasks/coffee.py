"""coffee-button-v3, -pull-v3 and -push-v3: a coffee machine's button is pressed; a mug is pulled from it, or pushed to it."""

from functools import partial

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_object, scipy_quat
from ..rewards import Grip, distance, gripper_caging, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, geom_quat, site
from . import button

_UNDER_SPOUT = (0.0, -0.22, 0.0)  # from the machine, m; its button, unpressed, is above
_BUTTON_HEIGHT = 0.3
_BUTTON_TRAVEL = 0.03
_MUG_RADIUS = 0.05  # of the goal, in the weighted distance
_GRIP = Grip(
    obj_radius=0.02,
    pad_success_thresh=0.05,
    xz_thresh=0.05,
    object_reach_radius=0.04,
    desired_gripper_effort=0.7,
    density="medium",
)


def place_mug(settled: Settled, vector: Array) -> Pose:
    """The mug is the scene's first body; the velocities that the package and `place_object` stop are the arm's, not its."""
    return place_object(settled, vector[:3], qpos_start=0)


def place_under_spout(settled: Settled, vector: Array) -> Pose:
    return place_mug(settled, vector + jnp.array(_UNDER_SPOUT))


def button_objects(readings: Readings) -> Array:
    return jnp.append(readings["button"], jnp.array([1.0, 0.0, 0.0, 0.0]))


def remember_button(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": vector + jnp.array(_UNDER_SPOUT) + jnp.array([0.0, _BUTTON_TRAVEL, _BUTTON_HEIGHT])}


def mug_objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["mug"], scipy_quat(readings["mug_quat"])])


def remember_mug(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": vector[:3], "goal": vector[3:]}


def mug_reward(moment: Moment) -> Verdict:
    weights = jnp.array([2.0, 2.0, 1.0])
    obj, goal, opening = moment.obj, moment.goal, moment.gripper_opening
    weighted = distance(weights * obj, weights * goal)
    margin = distance(weights * moment.memory["obj"], weights * goal)
    in_place = tolerance(weighted, (0.0, _MUG_RADIUS), margin)
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    to_goal = distance(obj, goal)
    grasped = gripper_caging(moment, obj, _GRIP)
    held = (tcp_to_obj < 0.04) & (opening > 0)
    total = hamacher_product(grasped, in_place) + jnp.where(held, 1.0 + 5.0 * in_place, 0.0)
    return Verdict(
        reward=jnp.where(weighted < _MUG_RADIUS, 10.0, total),
        success=to_goal <= 0.07,
        near_object=tcp_to_obj <= 0.03,
        grasp_success=0.0,  # the package looks for contacts of the mug's visible geom, which collides with nothing
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


def machine_above(start: int, vector: Array) -> Array:
    """Where the machine stands whose spout is above the point `vector[start : start + 3]`."""
    return vector[start : start + 3] - jnp.array(_UNDER_SPOUT)


COFFEE_BUTTON = Family(
    scene="sawyer_coffee.xml",
    low=(-0.1, 0.8, -0.001),
    high=(0.1, 0.9, 0.001),
    goal_low=(-0.101, 0.61, 0.298),
    goal_high=(0.101, 0.71, 0.302),
    fixture="coffee_machine",
    hand_start=(0.0, 0.4, 0.2),
    sensors={"button": site("buttonStart")},
    place=place_under_spout,
    objects=button_objects,
    remember=remember_button,
    reward=partial(button.reward, press=button.Press(1, _BUTTON_TRAVEL, 0.05, 0.02, button.with_open_gripper)),
)

COFFEE_PULL = COFFEE_BUTTON._replace(
    low=(-0.05, 0.7, -0.001, -0.1, 0.55, -0.001),
    high=(0.05, 0.75, 0.001, 0.1, 0.65, 0.001),
    min_distance=0.15,
    goal_low=(-0.1, 0.55, -0.001),
    goal_high=(0.1, 0.65, 0.001),
    fixture_pos=partial(machine_above, 0),
    sensors={"mug": body("obj"), "mug_quat": geom_quat("mug")},
    place=place_mug,
    objects=mug_objects,
    remember=remember_mug,
    reward=mug_reward,
)

COFFEE_PUSH = COFFEE_PULL._replace(
    low=COFFEE_PULL.goal_low + COFFEE_PULL.low[:3],
    high=COFFEE_PULL.goal_high + COFFEE_PULL.high[:3],
    goal_low=COFFEE_PULL.low[:3],
    goal_high=COFFEE_PULL.high[:3],
    fixture_pos=partial(machine_above, 3),
)

FAMILIES = {"coffee-button-v3": COFFEE_BUTTON, "coffee-pull-v3": COFFEE_PULL, "coffee-push-v3": COFFEE_PUSH}
