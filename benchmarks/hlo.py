"""What the text of a compiled program says: what devices tell each other, and the largest array of one."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}
_SHAPE = re.compile(rf"\b({'|'.join(_SIZES)})\[([\d,]*)\]")
_COLLECTIVE = re.compile(r"\b(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
_CALLED = re.compile(r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_BEGIN = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")


class Collective(NamedTuple):
    """An operation of all devices."""

    kind: str  # as XLA calls it
    sizes: list[int]  # bytes of each array that it gives to a device
    times: int  # that it is done


def collectives(program: str) -> list[Collective]:
    """Those of a program; a loop of unknown length counts once, and of branches all."""
    bodies, entry = _computations(program)

    def inside(name: str, times: int) -> Iterator[Collective]:
        for line in bodies.get(name, ()):
            if found := _COLLECTIVE.search(line):
                yield Collective(found[1], array_bytes(line), times)
                continue
            branches = [name.strip(" %") for names in _BRANCHES.findall(line) for name in names.split(",")]
            trips = _TRIPS.search(line)
            for called in _CALLED.findall(line) + branches:
                yield from inside(called, times * (int(trips[1]) if trips else 1))

    return list(inside(entry, 1))


def communicated(program: str) -> int:
    """Bytes that a device is given by all of its collective operations."""
    return sum(each.times * sum(each.sizes) for each in collectives(program))


def largest_array(program: str) -> int:
    """Bytes of the largest array that a device computes."""
    return max(size for line in program.splitlines() for size in array_bytes(line))


def array_bytes(line: str) -> list[int]:
    """Bytes of each array that an instruction gives; none of a line that is no instruction."""
    _, is_instruction, right = line.partition(" = ")
    if not is_instruction:
        return []
    result = right.split(")")[0] if right.startswith("(") else right.split(" ")[0]
    shapes = _SHAPE.findall(result)
    return [_SIZES[kind] * int(np.prod([int(n) for n in dims.split(",") if n])) for kind, dims in shapes]


def _computations(program: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation by its name, and the name of that which begins."""
    bodies: dict[str, list[str]] = {}
    name = entry = ""
    for line in program.splitlines():
        if begins := _BEGIN.match(line):
            name = begins[2]
            entry = name if begins[1] else entry
            bodies[name] = []
        elif name:
            bodies[name].append(line)
    return bodies, entry
