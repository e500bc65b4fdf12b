"""Meta-World's families by name. Each file holds one, or several that differ in little."""

from . import door, drawer, push, reach

FAMILIES = door.FAMILIES | drawer.FAMILIES | push.FAMILIES | reach.FAMILIES
