"""How files of a run are read and written: strictly, and whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from ..config import decode
from ..errors import ConfigError


def read_json(path: Path, hint: Any) -> Any:
    """What a file holds, as a type says that it does (see `config.decode`); ConfigError that names file and field where not."""
    try:
        return decode(hint, json.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except ConfigError as error:
        raise ConfigError(f"{path} is damaged: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: it is not JSON.") from error


def check_place(directory: Path, option: str) -> None:
    """ConfigError where `directory`, which `option` names, cannot be written or made: before minutes go into what goes there."""
    try:
        there = next(path for path in (directory, *directory.absolute().parents) if path.exists() or path.is_symlink())
    except OSError as error:
        raise ConfigError(f"{option} {directory} cannot be written: {error.strerror}.") from error
    if not there.is_dir():
        raise ConfigError(f"{option} {directory} cannot be written: {there} is no directory.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{option} {directory} cannot be written: mend the permissions of {there}, or choose another."
        )


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
