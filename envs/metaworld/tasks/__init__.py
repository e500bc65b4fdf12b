"""Meta-World's families by name. Each file holds one, or several that differ in little, or what several of them share."""

import importlib
import pkgutil

from ..family import Family

FAMILIES: dict[str, Family] = {}
for _module in pkgutil.iter_modules(__path__):
    FAMILIES |= getattr(importlib.import_module(f".{_module.name}", __name__), "FAMILIES", {})
