"""Which runs belong together, and how they are told apart."""

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from ..config import to_json
from ..errors import ConfigError
from . import runlog


def by_setting(directories: Sequence[Path]) -> dict[str, list[Path]]:
    """Runs of one configuration but for the seed, together; each named by its preset or, where these are the same, its path."""
    groups: dict[str, list[Path]] = {}
    presets: dict[str, str] = {}
    for directory in directories:
        config = runlog.read_config(directory)
        key = to_json(dataclasses.replace(config, seed=0))
        same = groups.setdefault(key, [])
        if directory.resolve() in [other.resolve() for other in same]:
            raise ConfigError(f"{directory} is named twice: leave one out.")
        same.append(directory)
        presets[key] = config.preset
    names = list(presets.values())
    if len(set(names)) < len(names):
        names = distinct([Path(os.path.commonpath([d.resolve() for d in same])) for same in groups.values()])
    return dict(zip(names, groups.values(), strict=True))


def distinct(paths: Sequence[Path]) -> list[str]:
    """Names of different paths: what is left of each without the parts that all of them begin and end with."""
    parts = [path.resolve().parts for path in paths]
    begin = _num_shared(parts)
    ends = [part[begin:] for part in parts]
    end = _num_shared([part[::-1] for part in ends])
    return ["/".join(part[: len(part) - end]) or path.name for part, path in zip(ends, paths, strict=True)]


def _num_shared(rows: Sequence[Sequence[str]]) -> int:
    """How many first items are the same in all rows."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
