"""Meta-World's families by name. Each file holds one, or several that differ in little."""

from . import (
    basketball,
    bin_picking,
    box,
    button,
    coffee,
    dial,
    door,
    door_lock,
    drawer,
    faucet,
    hand_insert,
    handle,
    lever,
    peg,
    pick_out_of_hole,
    pick_place,
    plate_slide,
    push,
    reach,
    shelf_place,
    soccer,
    stick,
    sweep,
    tools,
    wall,
    window,
)

FAMILIES = (
    basketball.FAMILIES
    | bin_picking.FAMILIES
    | box.FAMILIES
    | button.FAMILIES
    | coffee.FAMILIES
    | dial.FAMILIES
    | door.FAMILIES
    | door_lock.FAMILIES
    | drawer.FAMILIES
    | faucet.FAMILIES
    | hand_insert.FAMILIES
    | handle.FAMILIES
    | lever.FAMILIES
    | peg.FAMILIES
    | pick_out_of_hole.FAMILIES
    | pick_place.FAMILIES
    | plate_slide.FAMILIES
    | push.FAMILIES
    | reach.FAMILIES
    | shelf_place.FAMILIES
    | soccer.FAMILIES
    | stick.FAMILIES
    | sweep.FAMILIES
    | tools.FAMILIES
    | wall.FAMILIES
    | window.FAMILIES
)
