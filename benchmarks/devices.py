"""One run over 1 to 8 devices, here parts of the CPU: time, what they tell each other, and what each of them holds.

Second-order MAML-PPO with as many tasks on every device; each number of devices in a process of its own. Columns:
  devices, tasks        over which the tasks of an iteration are split
  iteration_seconds     median; parts of a CPU share its cores
  seconds_per_task      that over tasks
  sent_bytes            that a device hands to collective operations in an iteration, by the compiled program
  gradient_bytes        what data parallelism must move: a gradient of all parameters for each step of the outer optimiser
  sent_over_gradients   the first over the second: statistics, metrics and norms come on top
  largest_array_bytes   on a device
  note                  sizes
"""

import re
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import sharding
from . import isolated, meta_iteration, timing
from .meta_iteration import MetaIteration

_SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}
_SHAPE = re.compile(rf"\b({'|'.join(_SIZES)})\[([\d,]*)\]")
_COLLECTIVE = re.compile(r"\b(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
_CALLED = re.compile(r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


class Op(NamedTuple):
    kind: str
    shape: str
    metadata: str
    times: int
    size: int


def collectives(program):
    bodies = dict(_computations(program))

    def of(name, times):
        for line in bodies.get(name, ()):
            if m := _COLLECTIVE.search(line):
                md = re.search(r'op_name="([^"]*)"', line)
                yield Op(m[1], line.split(" = ")[1].split(m[1])[0], md[1] if md else "", times, num_bytes(line))
                continue
            called = _CALLED.findall(line) + [
                n.strip(" %") for names in _BRANCHES.findall(line) for n in names.split(",")
            ]
            trips = _TRIPS.search(line)
            for c in called:
                yield from of(c, times * (int(trips[1]) if trips else 1))

    (entry,) = [name for name in bodies if re.search(rf"^ENTRY %?{re.escape(name)}\b", program, re.MULTILINE)]
    yield from of(entry, 1)


def communicated(program):
    return sum(o.times * o.size for o in collectives(program))


def num_bytes(line: str) -> int:
    """Of what an instruction of a compiled program gives back; 0 of a line that is none. A tuple is all of its arrays."""
    _, is_instruction, right = line.partition(" = ")
    result = right.split(")")[0] if right.startswith("(") else right.split("(")[0].split(" ")[0]
    if not is_instruction:
        return 0
    shapes = _SHAPE.findall(result)
    return sum(_SIZES[kind] * int(np.prod([int(n) for n in dims.split(",") if n] or [1])) for kind, dims in shapes)


def _computations(program: str):
    """Name and lines of each computation."""
    name, lines = None, []
    for line in program.splitlines():
        if begins := re.match(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            name, lines = begins[1], []
        elif line.startswith("}") and name is not None:
            yield name, lines
            name = None
        elif name is not None:
            lines.append(line)
