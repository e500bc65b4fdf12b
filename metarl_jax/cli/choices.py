"""The names that an option may have: in `--help`, in messages, and where a shell completes a word."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from .. import envs, names, plugins
from ..errors import lookup

Checkpoint = Literal["latest", "best"]
Actions = Literal["sample", "mode"]  # `policies.ACTIONS`, which takes JAX

# Of options of whatever command, beside those of `names.FIELDS`.
_NAMES: dict[str, Sequence[str]] = {
    "preset": tuple(names.PRESETS),
    "algorithm": (*names.ALGORITHMS, *plugins.named(plugins.ALGORITHMS)),
    "env": (
        *envs.ENVIRONMENTS,
        *(f"{package}/NAME" for package in ("metaworld", "metaworld-host", *envs.ADAPTERS)),
        *plugins.named(plugins.ENVIRONMENTS),
    ),
    "physics": tuple(envs.BACKENDS),
}
_OPEN = {"env", "physics"}  # what is none of these names is for others to judge, or to refuse


def known_names(cls: Any, field: str, hint: Any) -> Sequence[str]:
    """The names that a field of a class may be, where its type is a Literal, or text that is known; else none."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    kinds = {hint} if typing.get_origin(hint) is Literal else {hint, *typing.get_args(hint)}
    if str in kinds:
        return (_NAMES | names.FIELDS.get(cls.__name__, {})).get(field, ())
    return next((typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is Literal), ())


def named_fields(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A rule of tyro: of a dataclass, the fields that are one of several names."""
    if not dataclasses.is_dataclass(info.type) or info.type in _at_work:
        return None
    _at_work.append(info.type)
    try:
        made = ConstructorRegistry.get_struct_spec(info)  # by tyro's own rule
    finally:
        _at_work.pop()
    if not isinstance(made, StructConstructorSpec):
        return None
    return dataclasses.replace(made, fields=tuple(_named(info.type, field) for field in made.fields))


_at_work: list[Any] = []  # dataclasses that `named_fields` has asked tyro about


def _named(cls: Any, field: StructFieldSpec) -> StructFieldSpec:
    known = known_names(cls, field.name, field.type)
    several = typing.get_origin(field.type) is tuple  # which tyro knows what to do with
    if not known or several:
        return field
    hint: Any = Annotated[field.type, _one_of(known, field.name in _OPEN)]
    return dataclasses.replace(field, type=hint)


def _one_of(known: Sequence[str], is_open: bool) -> PrimitiveConstructorSpec:
    def make(words: list[str]) -> str:
        (word,) = words
        return word if is_open else lookup(word, {name: name for name in known}, "name")

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(known) + "}",
        instance_from_str=make,
        is_instance=lambda x: x is None or isinstance(x, str),
        str_from_instance=lambda x: [str(x)],
    )
