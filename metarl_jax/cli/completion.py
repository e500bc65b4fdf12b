"""`metarl --completion SHELL`: a script by which a shell completes commands, options, and the names that they may have."""

import dataclasses
import importlib
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from .. import envs, presets
from ..errors import lookup
from .choices import known_names
from .train import TrainOptions

_BEGIN = {"bash": "", "zsh": "autoload -U +X bashcompinit && bashcompinit\n"}

_SCRIPT = """_metarl() {{
  local command=${{COMP_WORDS[1]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=
  [ "$before" = "=" ] && before=${{COMP_WORDS[COMP_CWORD-2]}}
  [ "$COMP_CWORD" = 1 ] && command=metarl before=metarl
  case "$command $before" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]#=}}"))
}}
complete -o default -F _metarl metarl
"""  # `default`: files, where no word fits


def script(shell: str, commands: Sequence[str]) -> str:
    """The script; ConfigError for a shell for which there is none."""
    begin = lookup(shell, _BEGIN, "shell")
    cases = [("metarl", "metarl", commands)]
    for command in commands:
        cases += [(command, before, words) for before, words in _cases(command)]
    lines = [
        f'    "{command} {before}"{"*" * (before == "")}) words="{" ".join(words)}" ;;'
        for command, before, words in cases
    ]
    return begin + _SCRIPT.format(cases="\n".join(lines))


def _cases(command: str) -> Iterator[tuple[str, Sequence[str]]]:
    """The word before, and what may follow it; the empty word stands for any other."""
    cls = getattr(importlib.import_module(f".{command}", __package__), f"{command.capitalize()}Options")
    default = TrainOptions(presets.PRESETS[presets.DEFAULT].config) if cls is TrainOptions else None
    words = dict(_words(cls, default))
    flags = [word for word in words if word.startswith("--")]
    yield command, [*words.get("--preset" if command == "train" else "", ()), *flags]
    yield from ((flag, words[flag]) for flag in flags if words[flag] is not None)
    yield "", flags


def _words(cls: Any, default: Any, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """Every option, and the names that it may have: none where it has other values, None where it has no value.

    What has no option of its own, but a place, is the empty word.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        value, hint, name = getattr(default, field.name, field.default), hints[field.name], field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from _words(type(value), value, prefix if cls is TrainOptions else f"{prefix}{name}.")
        elif hint is bool:
            yield from ((f"{prefix}{name}", None), (f"{prefix}no-{name}", None))
        else:
            has_place = tyro.conf.Positional in typing.get_args(hint)
            yield "" if has_place else f"{prefix}{name}", _without_gaps(known_names(cls, field.name, hint))


def _without_gaps(names: Sequence[str]) -> list[str]:
    """With Meta-World's names where these say that there are such."""
    metaworld = (*envs.METAWORLD_SUITES, *envs.METAWORLD) if "metaworld/NAME" in names else ()
    return [*[name for name in names if "NAME" not in name], *[f"metaworld/{name}" for name in metaworld]]
