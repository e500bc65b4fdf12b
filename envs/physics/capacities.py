"""How much room `warp` keeps for what touches, scene by scene."""

import os
from typing import NamedTuple

import mujoco

OPTION = "METARL_WARP_CAPACITY"  # of the environment: multiplies all of it

# The most contacts and constraint rows that C MuJoCo saw at the end of a step: in Meta-World over 4 episodes of 250 steps of each
# task (one of an expert, two of an expert with noise, one at random) and 10 of 200 steps in which the hand is driven with all its
# force against object, goal or table, as policies that learn do; in locomotion over 20 episodes of 200 random steps.
_SEEN = {
    "ant": (5, 28),
    "cheetah": (6, 27),
    "hopper": (4, 16),
    "humanoid": (12, 42),
    "walker2d": (8, 32),
    "sawyer_assembly_peg": (28, 107),
    "sawyer_basketball": (17, 75),
    "sawyer_bin_picking": (29, 123),
    "sawyer_box": (58, 237),
    "sawyer_button_press": (62, 213),
    "sawyer_button_press_topdown": (42, 156),
    "sawyer_button_press_topdown_wall": (42, 156),
    "sawyer_button_press_wall": (42, 160),
    "sawyer_coffee": (30, 120),
    "sawyer_dial": (25, 108),
    "sawyer_door_lock": (35, 144),
    "sawyer_door_pull": (20, 83),
    "sawyer_drawer": (24, 98),
    "sawyer_faucet": (21, 87),
    "sawyer_hammer": (37, 131),
    "sawyer_handle_press": (37, 151),
    "sawyer_handle_press_sideways": (32, 138),
    "sawyer_lever_pull": (21, 88),
    "sawyer_peg_insertion_side": (51, 207),
    "sawyer_peg_unplug_side": (53, 206),
    "sawyer_pick_out_of_hole": (38, 160),
    "sawyer_pick_place_v3": (21, 91),
    "sawyer_pick_place_wall_v3": (30, 124),
    "sawyer_plate_slide": (29, 99),
    "sawyer_plate_slide_sideway": (34, 123),
    "sawyer_push_back_v3": (20, 88),
    "sawyer_push_v3": (18, 80),
    "sawyer_push_wall_v3": (28, 113),
    "sawyer_reach_v3": (20, 89),
    "sawyer_reach_wall_v3": (28, 111),
    "sawyer_shelf_placing": (32, 136),
    "sawyer_soccer": (30, 122),
    "sawyer_stick_obj": (43, 174),
    "sawyer_sweep_v3": (21, 93),
    "sawyer_table_with_hole": (49, 203),
    "sawyer_window_horizontal": (39, 158),
}
_MARGIN, _SPARE = 1.5, 16
_ROWS = (64, 128, 192, 256, 384, 512)  # few different numbers: Warp compiles kernels for each


class Capacity(NamedTuple):
    """Room for what touches. Memory and time grow with it; what does not fit is dropped, and a warning says so."""

    scene: str  # for messages
    contacts: int  # pairs of geoms near each other, per world; the worlds share the room of all
    rows: int  # constraint rows of each world


def capacity_of(model: mujoco.MjModel) -> Capacity:
    """The room for a model: what its scene was seen to need with a margin, or for unknown scenes plenty."""
    name = model.names[: model.names.find(b"\0")].decode()
    if name in _SEEN:
        contacts, rows = (round(_MARGIN * seen) + _SPARE for seen in _SEEN[name])
    else:
        contacts = max(16, 4 * model.ngeom)
        rows = 4 * contacts + 2 * model.njnt + 6 * model.neq  # 4 edges of a friction pyramid per contact
    factor = float(os.environ.get(OPTION) or 1.0)
    contacts, rows = round(factor * contacts), round(factor * rows)
    return Capacity(name, contacts, next((size for size in _ROWS if size >= rows), rows))
