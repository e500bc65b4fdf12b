"""Host functions inside compiled programs, by name, so that JAX may keep the programs on disk.

`jax.pure_callback` ties a program to an object of its own process, and JAX's persistent cache refuses it. XLA's foreign function
interface finds a function by name: one C function for all (`_handle`, made by ctypes) looks up which Python function is
meant. The structures are those of `xla/ffi/api/c_api.h`, which comes with jaxlib.
"""

import ctypes
import functools
import traceback
import weakref
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

_TARGET = "metarl_host_call"
_METADATA = 1  # XLA_FFI_Extension_Metadata
_UNKNOWN = 2  # XLA_FFI_Error_Code_UNKNOWN
_DTYPES = {1: "?", 2: "i1", 4: "i4", 5: "i8", 6: "u1", 8: "u4", 9: "u8", 11: "f4", 12: "f8"}  # XLA_FFI_DataType


_living: dict[str, "weakref.WeakSet[_Call]"] = {}  # by name


class _Call:
    """A host function on leaves; a compiled program keeps those that it calls."""

    def __init__(self, name: str, function: Callable):
        self.name, self.function = name, function
        _living.setdefault(name, weakref.WeakSet()).add(self)


def host_call(name: str, function: Callable, result: Any, *args: Any, keep: dict[str, Any]) -> Any:
    """`function(*args)` on the host; under `vmap` one call for the whole batch, every argument with all of its axes.

    Nothing here keeps the function: `keep` does until a program is compiled, and then the program.

    Args:
      name: says all that the outcome depends on but for `args`; of several living functions with one name any is called.
      function: takes NumPy arrays in place of `args`, valid until it returns. No side effects.
      result: pytree of `ShapeDtypeStruct`, what it returns for arguments without a batch; the types are not converted.
      args: pytrees of arrays.
      keep: of the caller, who keeps it as long as something that calls this may be traced.
    """
    leaves, treedef = jax.tree.flatten(args)
    shapes, result_treedef = jax.tree.flatten(result)

    def on_leaves(*leaves: np.ndarray) -> list[np.ndarray]:
        return jax.tree.leaves(function(*jax.tree.unflatten(treedef, map(np.asarray, leaves))))

    if jax.default_backend() == "cpu":
        keep[name] = _Call(name, on_leaves)
        out = _host_call_p.bind(*map(jnp.asarray, leaves), name=name, results=tuple(shapes))
    else:  # XLA would hand over addresses in the memory of the device
        out = jax.pure_callback(on_leaves, shapes, *leaves, vmap_method="broadcast_all")
    return jax.tree.unflatten(result_treedef, out)


# Not `jax.ffi.ffi_call`, whose lowering does not say what the program must keep.
_host_call_p = Primitive("host_call")
_host_call_p.multiple_results = True


@_host_call_p.def_abstract_eval
def _types(*_, name: str, results: tuple) -> list:
    return [jax.core.ShapedArray(result.shape, result.dtype) for result in results]


@_host_call_p.def_impl
def _at_once(*leaves: jax.Array, name: str, results: tuple) -> list[jax.Array]:
    """Outside of a program."""
    values = _find(name).function(*map(np.asarray, leaves))
    return [jnp.asarray(value, result.dtype) for value, result in zip(values, results, strict=True)]


def _on_batch(leaves: tuple, axes: tuple, name: str, results: tuple) -> tuple[list[jax.Array], list[int]]:
    """Under `vmap`: the new axis is the first of every argument and result."""
    (size,) = {x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None}
    batched = [
        jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(leaves, axes, strict=True)
    ]
    results = tuple(jax.ShapeDtypeStruct((size, *result.shape), result.dtype) for result in results)
    return _host_call_p.bind(*batched, name=name, results=results), [0] * len(results)


def _lower(ctx: mlir.LoweringRuleContext, *operands: Any, name: str, results: tuple) -> Any:
    _register()
    ctx.module_context.add_keepalive(_find(name))
    return jax.ffi.ffi_lowering(_TARGET)(ctx, *operands, name=name)


batching.primitive_batchers[_host_call_p] = _on_batch
mlir.register_lowering(_host_call_p, _lower, platform="cpu")


def _find(name: str) -> _Call:
    """A living function of that name: they all do the same."""
    return next(iter(_living[name]))


@functools.cache
def _register() -> None:
    jax.ffi.register_ffi_target(_TARGET, jax.ffi.pycapsule(ctypes.cast(_handle, c_void_p).value), platform="cpu")


class _Version(Structure):
    _fields_ = (("size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int))


class _Metadata(Structure):
    _fields_ = (("size", c_size_t), ("version", _Version), ("traits", c_uint32), ("type_id", c_int64))


class _Extension(Structure):
    _fields_ = (("size", c_size_t), ("type", c_int), ("next", c_void_p), ("metadata", POINTER(_Metadata)))


class _ErrorArgs(Structure):
    _fields_ = (("size", c_size_t), ("extension", c_void_p), ("message", c_char_p), ("code", c_int))


class _Api(Structure):
    _fields_ = (
        *(("size", c_size_t), ("extension", c_void_p), ("version", _Version), ("internal", c_void_p)),
        ("create_error", ctypes.CFUNCTYPE(c_void_p, POINTER(_ErrorArgs))),
    )


class _Buffer(Structure):
    _fields_ = (
        *(("size", c_size_t), ("extension", c_void_p), ("dtype", c_int)),
        *(("data", c_size_t), ("rank", c_int64), ("dims", POINTER(c_int64))),
    )

    def array(self) -> np.ndarray:
        """A view of it."""
        shape, dtype = self.dims[: self.rank], np.dtype(_DTYPES[self.dtype])
        size = int(np.prod(shape)) * dtype.itemsize
        return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(self.data))  # type: ignore[arg-type]  # a buffer


class _Buffers(Structure):
    _fields_ = (
        *(("size", c_size_t), ("extension", c_void_p), ("count", c_int64)),
        *(("types", c_void_p), ("items", POINTER(POINTER(_Buffer)))),
    )

    def arrays(self) -> list[np.ndarray]:
        return [item.contents.array() for item in self.items[: self.count]]


class _Text(Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t))


class _Attributes(Structure):
    _fields_ = (
        *(("size", c_size_t), ("extension", c_void_p), ("count", c_int64)),
        *(("types", c_void_p), ("names", c_void_p), ("items", POINTER(POINTER(_Text)))),
    )


class _CallFrame(Structure):
    _fields_ = (
        *(("size", c_size_t), ("extension", POINTER(_Extension)), ("api", POINTER(_Api)), ("context", c_void_p)),
        *(("stage", c_int), ("args", _Buffers), ("results", _Buffers), ("attributes", _Attributes)),
    )


@ctypes.CFUNCTYPE(c_void_p, POINTER(_CallFrame))
def _handle(frame) -> int | None:
    """What XLA calls: at registration to learn the version that it speaks, and then for every host call."""
    frame = frame.contents
    if frame.extension and frame.extension.contents.type == _METADATA:
        version, spoken = frame.extension.contents.metadata.contents.version, frame.api.contents.version
        version.major, version.minor = 0, spoken.minor  # minor versions only add to the structures
        return None
    try:
        text = frame.attributes.items[0].contents
        call = _find(ctypes.string_at(text.data, text.length).decode())
        for out, value in zip(frame.results.arrays(), call.function(*frame.args.arrays()), strict=True):
            out[...] = value
    except BaseException:  # nothing may be raised through C: XLA raises it again
        error = _ErrorArgs(ctypes.sizeof(_ErrorArgs), None, traceback.format_exc().encode(), _UNKNOWN)
        return frame.api.contents.create_error(error)
    return None
