"""Worlds on a Warp device, and the one function that compiled programs call to move them on.

MJX has a binding to MuJoCo-Warp of its own. It gives XLA each of the 170 arrays of `Data`, six times per control step, and one
model after the other. Here `Data` stays with Warp: a call brings the state of all worlds as one array and takes the next as one
array, and all that happens between (substeps, sensors; of a suite every model, side by side) is one CUDA graph.
"""

import dataclasses
import functools
import inspect
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
import warp as wp
from mujoco.mjx.third_party import mujoco_warp as mjw

from .base import Array
from .capacities import OPTION, Capacity
from .mujoco import digest

_OVERFLOWS = {"contacts": mjw.OverflowType.BROADPHASE | mjw.OverflowType.NARROWPHASE, "rows": mjw.OverflowType.NEFC}
_STREAMS = "METARL_WARP_STREAMS"  # at most so many models at the same time; all of a suite where it is not set
_KINEMATIC = {  # sensors that follow from kinematics alone
    mujoco.mjtSensor.mjSENS_FRAMEPOS,
    mujoco.mjtSensor.mjSENS_FRAMEQUAT,
    mujoco.mjtSensor.mjSENS_JOINTPOS,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """What worlds are made of."""

    model: mujoco.MjModel
    capacity: Capacity
    params: tuple[str, ...]  # arrays of the model that every world has its own of
    fields: tuple[str, ...]  # arrays of mjData to give back

    @functools.cached_property
    def inputs(self) -> dict[str, int]:
        """Names and sizes of what a world is given, in the order of a row."""
        m = self.model
        sizes = {"qpos": m.nq, "qvel": m.nv, "act": m.na, "qacc_warmstart": m.nv, "ctrl": m.nu}
        sizes |= {"mocap_pos": 3 * m.nmocap, "mocap_quat": 4 * m.nmocap}
        return sizes | {name: getattr(m, name).size for name in self.params}

    @functools.cached_property
    def outputs(self) -> dict[str, int]:
        """... and of what it gives back."""
        m = self.model
        data = mujoco.MjData(m)
        sizes = {"qpos": m.nq, "qvel": m.nv, "act": m.na, "qacc_warmstart": m.nv}
        sizes |= {name: getattr(data, name).size for name in self.fields}
        return sizes | {"sensordata": m.nsensordata}


class Program(NamedTuple):
    """What one call does to the worlds of one scene."""

    scene: Scene
    substeps: int  # 0: no more than sensors and fields of the state as it is


class Worlds:
    """`count` worlds of a scene on a device. What is not given with every call is the same for all calls."""

    def __init__(self, scene: Scene, count: int, device: Any):
        self.scene = scene
        self._graphs: dict[int, Any] = {}
        with wp.ScopedDevice(device):
            self.model = mjw.put_model(scene.model)
            self.model.opt.warn_overflow = 0  # it would print from within kernels
            for name in scene.params:
                one = getattr(self.model, name)
                setattr(self.model, name, wp.zeros((count, *one.shape[1:]), dtype=one.dtype))
            disable = self.model.opt.disableflags | mjw.DisableBit.SENSOR
            self._blind = dataclasses.replace(self.model, opt=dataclasses.replace(self.model.opt, disableflags=disable))
            contacts, rows = scene.capacity.contacts, scene.capacity.rows
            self.data = mjw.make_data(scene.model, nworld=count, naconmax=contacts * count, njmax=rows)
            self.input = wp.zeros((count, sum(scene.inputs.values())), dtype=float)
            self.output = wp.zeros((count, sum(scene.outputs.values())), dtype=float)
        self._views = {name: self._view(name) for name in {**scene.inputs, **scene.outputs}}
        types = {mujoco.mjtSensor(t) for t in scene.model.sensor_type}
        self._only_kinematics = types <= _KINEMATIC

    def prepare(self, substeps: int) -> Callable[[Any], None]:
        """`run` as a function of a stream: on a GPU the launch of one graph, with the kernels loaded."""
        device: Any = self.input.device
        if not device.is_cuda:
            return lambda stream: self.run(substeps)
        if substeps not in self._graphs:
            self.run(substeps)  # loads the kernels, which cannot be done while a graph is captured
            with wp.ScopedCapture(device) as capture:
                self.run(substeps)
            self._graphs[substeps] = capture.graph
        return lambda stream: wp.capture_launch(self._graphs[substeps], stream=stream)

    def run(self, substeps: int) -> None:
        """From `input` to `output`."""
        self._copy(self.scene.inputs, self.input, inwards=True)
        if self.scene.model.neq:
            # Equality constraints read velocities of bodies that are otherwise those of the last substep of the last call.
            mjw.kinematics(self.model, self.data)
            mjw.com_pos(self.model, self.data)
            mjw.com_vel(self.model, self.data)
        for _ in range(substeps):
            mjw.step(self._blind, self.data)
        if not substeps and self.scene.fields:
            mjw.forward(self._blind, self.data)
        # Fields are as the last substep left them, and sensors as they are after it.
        self._copy({k: n for k, n in self.scene.outputs.items() if k != "sensordata"}, self.output, inwards=False)
        if self.scene.outputs["sensordata"]:
            self._sense()
            first = sum(self.scene.outputs.values()) - self.scene.outputs["sensordata"]
            self._copy({"sensordata": self.scene.outputs["sensordata"]}, self.output, inwards=False, first=first)

    def _sense(self) -> None:
        if not self._only_kinematics:
            mjw.forward(self.model, self.data)
            return
        mjw.kinematics(self.model, self.data)
        self.data.sensordata.zero_()
        mjw.sensor_pos(self.model, self.data)

    def _copy(self, sizes: dict[str, int], rows: wp.array, inwards: bool, first: int = 0) -> None:
        for name, size in sizes.items():
            if size:
                view = self._views[name]
                shape = (rows.shape[0], size)
                if inwards:
                    wp.launch(_copy_columns, shape, inputs=[rows, first, view, 0], device=rows.device)
                else:
                    wp.launch(_copy_columns, shape, inputs=[view, 0, rows, first], device=rows.device)
            first += size

    def _view(self, name: str) -> wp.array:
        """An array of model or data as numbers `[count, size]`."""
        array = getattr(self.model if name in self.scene.params else self.data, name)
        shape = (array.shape[0], {**self.scene.inputs, **self.scene.outputs}[name])
        return wp.array(ptr=array.ptr, dtype=float, shape=shape, device=array.device)


@wp.kernel(enable_backward=False)
def _copy_columns(
    source: wp.array2d(dtype=float),  # type: ignore[valid-type]  # Warp reads types from such calls
    first: int,
    target: wp.array2d(dtype=float),  # type: ignore[valid-type]
    target_first: int,
):  # pragma: no cover -- Warp compiles it
    world, column = wp.tid()  # type: ignore[misc]  # as many numbers as there are names
    target[world, target_first + column] = source[world, first + column]


_LOCK = threading.Lock()
_SCENES: dict[tuple, Scene] = {}
_GROUPS: dict[tuple[Program, ...], int] = {}  # what may be called, by number
_WORLDS: dict[tuple[Scene, int, str, int], Worlds] = {}  # by scene, count, device, and which of several of them


def make_scene(model: mujoco.MjModel, capacity: Capacity, params: tuple[str, ...], fields: tuple[str, ...]) -> Scene:
    """The scene; of equal models one, whose worlds they share."""
    key = digest(model), capacity, params, fields
    with _LOCK:
        return _SCENES.setdefault(key, Scene(model, capacity, params, fields))


def call(programs: Sequence[Program], states: Sequence[Array]) -> list[Array]:
    """Moves worlds of several scenes on, side by side on a GPU.

    Args:
      programs: P of them.
      states: rows of `Scene.inputs`, `[B_p, inputs]` each, single precision; under `vmap` one call for the whole batch.

    Returns:
      Rows of `Scene.outputs`, `[B_p, outputs]` each.
    """
    with _LOCK:
        group = _GROUPS.setdefault(tuple(programs), len(_GROUPS))
    dims = {
        f"out_{i}": (len(state), sum(program.scene.outputs.values()))
        for i, (program, state) in enumerate(zip(programs, states, strict=True))
    }
    return list(_callable(len(programs))(group, *states, output_dims=dims))


@functools.cache
def _callable(count: int) -> Any:
    """The function that programs call, of so many arrays."""

    def move(group: int, *arrays: wp.array) -> None:
        _move(group, arrays[:count], arrays[count:])

    names = [f"in_{i}" for i in range(count)] + [f"out_{i}" for i in range(count)]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    annotations: dict[str, Any] = {"group": int} | dict.fromkeys(names, wp.array2d(dtype=float))
    signature = inspect.Signature([inspect.Parameter(n, kind, annotation=a) for n, a in annotations.items()])
    move.__signature__ = signature  # type: ignore[attr-defined]
    move.__annotations__ = annotations
    move.__qualname__ = f"move_{count}"
    # Graphs are captured here, not by Warp's binding: those would be bound to addresses that XLA gives to arrays.
    return wp.jax_callable(
        move, num_outputs=count, graph_mode=wp.JaxCallableGraphMode.NONE, vmap_method="broadcast_all"
    )


def _move(group: int, inputs: Sequence[wp.array], outputs: Sequence[wp.array]) -> None:
    programs = next(programs for programs, number in _GROUPS.items() if number == group)
    device: Any = inputs[0].device
    worlds = _worlds(programs, [array.shape[0] for array in inputs], device)
    for each, array in zip(worlds, inputs, strict=True):
        wp.copy(each.input, array)
    runs = [each.prepare(program.substeps) for each, program in zip(worlds, programs, strict=True)]
    if not device.is_cuda or len(runs) == 1:
        for run in runs:
            run(None)
    else:
        _side_by_side(runs, device)
    for each, array in zip(worlds, outputs, strict=True):
        wp.copy(array, each.output)


def _side_by_side(runs: Sequence[Callable[[Any], None]], device: Any) -> None:
    """On streams of their own, between what is before and what comes after on the device's."""
    count = int(os.environ.get(_STREAMS) or len(runs))
    streams = _streams(device.alias, min(count, len(runs)))
    begin = device.stream.record_event()
    for stream in streams:
        stream.wait_event(begin)
    for nth, run in enumerate(runs):
        run(streams[nth % len(streams)])
    for stream in streams:
        device.stream.wait_event(stream.record_event())


@functools.cache
def _streams(device: str, count: int) -> list[Any]:
    return [wp.Stream(device) for _ in range(count)]


def _worlds(programs: Sequence[Program], counts: Sequence[int], device: Any) -> list[Worlds]:
    """Of each program; where two are of the same kind, the second gets worlds of its own."""
    found: list[Worlds] = []
    for program, count in zip(programs, counts, strict=True):
        nth = 0
        while (each := _WORLDS.get((program.scene, count, device.alias, nth))) in found and each is not None:
            nth += 1
        if each is None:
            each = _WORLDS[program.scene, count, device.alias, nth] = Worlds(program.scene, count, device)
        found.append(each)
    return found


def complaints() -> list[str]:
    """Scenes in which more touched than there was room for since this was last asked, in words. Waits for the device."""
    said: dict[str, None] = {}
    for (scene, *_), worlds in list(_WORLDS.items()):
        flags = int(np.bitwise_or.reduce(worlds.data.overflow.numpy(), initial=0))
        worlds.data.overflow.zero_()
        name, contacts, rows = scene.capacity
        room = {
            "contacts": f"{contacts} contacts in the mean of all worlds",
            "rows": f"{rows} constraint rows of a world",
        }
        for what in (what for what, mask in _OVERFLOWS.items() if flags & mask):
            said[
                f"warp: {name or 'a scene'} has room for {room[what]}; more came and were left out. Raise {OPTION} (a factor, "
                f"now {os.environ.get(OPTION) or 1})."
            ] = None
    return list(said)
