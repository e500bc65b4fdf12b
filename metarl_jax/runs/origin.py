"""Where a run comes from: what sets it apart from its preset, the command that trains it, the commit of the sources."""

import dataclasses
import shlex
import subprocess
from pathlib import Path
from typing import Any

from ..algorithms import ALGORITHMS
from ..config import ExperimentConfig, changed_fields
from ..presets import PRESETS


def changes(config: ExperimentConfig) -> dict[str, Any] | None:
    """Values of the fields in which a configuration differs from its preset, by dotted name; None where this version has no
    such preset.

    With another algorithm than the preset's, its name, and the fields that differ from that algorithm's own defaults.
    """
    if config.preset not in PRESETS:
        return None
    base, changed = PRESETS[config.preset].config, dict[str, Any]()
    if type(base.algorithm) is not type(config.algorithm):
        changed["algorithm"] = config.algorithm.name
        base = dataclasses.replace(base, algorithm=ALGORITHMS[config.algorithm.name].config)
    return changed | {name: _at(config, name) for name in changed_fields(base, config)}


def command(config: ExperimentConfig) -> str | None:
    """The command that trains such a run; None where this version has no such preset."""
    changed = changes(config)
    if changed is None:
        return None
    options = [word for name, value in changed.items() for word in _option(name, value)]
    return shlex.join(["metarl", "train", config.preset, *options])


def commit() -> str | None:
    """The commit of the sources that run; None where they do not lie in a clone, or have changed since."""
    here = Path(__file__).resolve()
    try:
        for arguments in (["ls-files", "--error-unmatch", here.name], ["diff", "--quiet", "HEAD"]):
            subprocess.run(["git", *arguments], cwd=here.parent, check=True, capture_output=True)
        said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here.parent, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def _at(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _option(name: str, value: Any) -> list[str]:
    """A field as `metarl train` takes it."""
    parent, dot, last = name.replace("_", "-").rpartition(".")
    if isinstance(value, bool):
        return [f"--{parent}{dot}{'' if value else 'no-'}{last}"]
    return [f"--{parent}{dot}{last}", *map(str, value if isinstance(value, tuple) else (value,))]
