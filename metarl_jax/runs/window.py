"""Iterations as one compiled program, of one seed or of several."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .. import sharding
from ..types import Algorithm, Array, Kept, Key, RunState


class RunKeys(NamedTuple):
    """The keys of a run, or `[S]` of several."""

    init: Key  # of its first state
    iterations: Key  # iteration i uses `fold_in(iterations, i)`


def run_keys(seed: int) -> RunKeys:
    """The keys that follow from a seed."""
    return RunKeys(*jax.random.split(jax.random.key(seed)))


def evaluation_key(seed: int) -> Key:
    """The key of an evaluation; training folds in iterations, which never reach this number."""
    return jax.random.fold_in(run_keys(seed).iterations, 2**32 - 1)


def each_seed(fn: Callable, num_seeds: int) -> Callable:
    """`fn` on trees with a leading axis over S seeds; a single seed runs the program that it would run without that axis.

    On CPU a device takes its seeds one after the other: one run's arrays stay in the caches, those of several do not, and
    its many small matrix products gain nothing from one axis more.
    """
    if num_seeds == 1:
        return lambda *trees: jax.tree.map(lambda x: x[None], fn(*jax.tree.map(lambda x: x[0], trees)))
    if jax.default_backend() == "cpu":
        return sharding.over_seeds(lambda *trees: jax.lax.map(lambda each: fn(*each), trees))
    return sharding.over_seeds(jax.vmap(fn))


def make_window(algorithm: Algorithm, size: int) -> Callable:
    """A function: states `[S, ...]`, keys `[S]`, count <= size -> states, metrics `[S, size]` of which `count` are filled.

    `finite` is among the metrics: whether parameters, losses and gradients all were (returns and successes are not where no
    episode has ended yet). The count is an argument, not a shape, so that one compiled program serves every window and a
    resumed run repeats an uninterrupted one bit for bit; and so are the keys, so that it serves every seed.

    Args:
      algorithm: of the runs.
      size: the greatest number of iterations per call.
    """

    iterate = jax.jit(algorithm.iterate, inline=True)  # traced once, though it is asked twice

    def window(state: RunState, key: Key, count: Array) -> tuple[RunState, dict[str, Array]]:
        def body(i: Array, carry):
            state, logs = carry
            state, metrics = iterate(state, jax.random.fold_in(key, state.step))
            watched = {name: m for name, m in metrics.items() if not name.startswith(("return_", "success_"))}
            finite = [jnp.isfinite(x).all() for x in jax.tree.leaves((state.params, watched))]
            metrics = metrics | {"finite": jnp.stack(finite).all()}
            return state, jax.tree.map(lambda log, m: log.at[i].set(m), logs, metrics)

        shapes = jax.eval_shape(iterate, state, key)[1]
        logs = {name: jnp.zeros(size, m.dtype) for name, m in shapes.items()} | {"finite": jnp.zeros(size, bool)}
        return jax.lax.fori_loop(0, count, body, (state, logs))

    def windows(states: RunState, keys: Key, count: Array) -> tuple[RunState, dict[str, Array]]:
        return each_seed(lambda state, key: window(state, key, count), len(keys))(states, keys)

    return windows


class Begun(NamedTuple):
    """Runs at their beginning."""

    states: RunState  # [S, ...]
    window: Callable  # compiled, with the runs' keys: states, count -> states, metrics (see `make_window`)
    compiled: Any  # the window's program: its text, and what memory it takes


def begin(algorithm: Algorithm, keys: RunKeys, size: int, mesh: Mesh) -> Begun:
    """The first states of the runs with these keys, and their compiled window, over the devices of a mesh."""
    layout, num_seeds = _layout(mesh), len(keys.init)
    with sharding.use_mesh(mesh):
        states = jax.jit(each_seed(algorithm.init, num_seeds), out_shardings=layout)(keys.init)
        window = jax.jit(make_window(algorithm, size), donate_argnums=0, out_shardings=layout and (layout, None))
        compiled = window.lower(states, keys.iterations, 1).compile()
    return Begun(states, lambda states, count: compiled(states, keys.iterations, count), compiled)


def _layout(mesh: Mesh) -> RunState | None:
    """Where states `[S, ...]` lie: each seed's on its device, or all but what is kept by task on every device. None where
    there is but one device.
    """
    if mesh.size == 1:
        return None
    if sharding.SEED in mesh.axis_names:
        of_seed: Any = NamedSharding(mesh, PartitionSpec(sharding.SEED))
        return RunState(*[of_seed] * len(RunState._fields))
    everywhere: Any = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(None, sharding.TASK))
    return RunState(*[everywhere] * len(RunState._fields))._replace(kept=Kept(everywhere, split))
