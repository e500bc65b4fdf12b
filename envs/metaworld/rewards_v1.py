"""Terms of Meta-World's first reward design ("v1"), as the installed `metaworld` package (MIT, Farama Foundation) keeps it.

Of arXiv:1910.10897; rewards reach some 2500. Nothing is remembered from step to step: the package sets its flags, such as
`pickCompleted`, anew at each. Of the info only success and a distance to the goal say something, see `verdict`.
"""

import jax.numpy as jnp

from ...types import Array
from .family import Moment, Verdict
from .rewards import distance

REACHED = 0.05  # from the finger tips to the object, m
_HELD = 0.1  # likewise
_OFF_TABLE = 0.005  # m


def progress(away: Array, first: Array | float) -> Array:
    """1000 for each metre nearer to a goal than at `first`, and up to 2000 at the goal; lengths in m, `[]` each."""
    return 1000.0 * (first - away + jnp.exp(-(away**2) / 0.01) + jnp.exp(-(away**2) / 0.001))


def gain(away: Array, first: Array | float) -> Array:
    """`progress`, never negative."""
    return jnp.maximum(progress(away, first), 0.0)


def reach_and_move(moment: Moment, moved: Array) -> Array:
    """The finger tips go to the object; once there, `moved` counts too."""
    reach = distance(moment.obj, moment.readings["tcp"])
    return -reach + jnp.where(reach < REACHED, moved, 0.0)


def pick_and_place(moment: Moment, lift: float, to_goal: Array, height_weight: float = 2.0) -> Array:
    """The object is lifted by `lift`, m, then brought to its goal; `[]`.

    The package's `objDropped` is left out: an object up there never is.

    Args:
      moment: the control step; `memory["obj"]` is where the object began.
      lift: how high, m.
      to_goal: `[]`, m.
      height_weight: of the hand's distance from its first height, while it is not above the object.
    """
    obj, tcp, first = moment.obj, moment.readings["tcp"], moment.memory["obj"]
    reach, beside = distance(obj, tcp), distance(obj[:2], tcp[:2])
    off_height = jnp.abs(tcp[2] - moment.settled.readings["tcp"][2])
    closing = jnp.where(reach < REACHED, jnp.maximum(moment.action[3], 0.0) / 50.0, 0.0)
    reached = jnp.where(beside < 0.05, -reach, -beside - height_weight * off_height) + closing

    top = first[2] + lift
    picked, held = obj[2] >= top - 0.01, reach < _HELD
    lifted = jnp.where(picked, top, jnp.where(held & (obj[2] > first[2] + _OFF_TABLE), obj[2], 0.0))
    way = distance(first.at[2].set(top), moment.goal) + top
    return reached + 100.0 * lifted + jnp.where(picked & held, gain(to_goal, way), 0.0)


def verdict(reward: Array, to_goal: Array, success_radius: float) -> Verdict:
    """What most families say: the package gives 0 for what this design lacks, and so takes the object for near."""
    return Verdict(
        reward=reward,
        success=to_goal <= success_radius,
        near_object=1.0,
        grasp_success=0.0,
        grasp_reward=0.0,
        in_place_reward=0.0,
        obj_to_target=to_goal,
    )
