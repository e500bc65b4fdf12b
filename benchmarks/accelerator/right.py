"""Whether the accelerator computes what the CPU does: physics against C MuJoCo, a meta-gradient against the same batch.

`truth` runs on the CPU and leaves its arrays in a file; the others compare with these.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...algorithms.inner_loop import InnerLoop
from ...algorithms.maml_ppo import meta_loss
from ...algorithms.ppo_update import Weights
from ...envs import make
from ...envs.metaworld import suites
from ...envs.metaworld.env import MetaWorldEnv
from ...errors import ConfigError
from ...policies import make_policy
from ...types import MetaEnv
from .. import meta_iteration
from ..metaworld import reference, warp_drift

FILE = "accelerator-truth.npz"
WORLDS, STEPS, NOISE = 4, 50, 0.3
PRESET, TASKS, HORIZON = "cheetah-dir-maml", 20, 100
_TABLE = Path(__file__).parents[1] / "results" / "metaworld-warp-drift.json"


def truth(
    directory: str, names: Sequence[str], scenes: Sequence[str], worlds: int = WORLDS, horizon: int = HORIZON
) -> Iterator[dict[str, Any]]:
    """C MuJoCo's trajectories and the CPU's meta-gradient, written to `directory`/FILE.

    Args:
      directory: where to.
      names: environments of locomotion, random actions.
      scenes: tasks of Meta-World, an expert's noisy actions.
      worlds: of each.
      horizon: of the episodes behind the meta-gradient.
    """
    arrays: dict[str, np.ndarray] = {"names": np.array([*names, *(f"metaworld/{name}/mt1" for name in scenes)])}
    for name in arrays["names"]:
        env = _c_env(name)
        tasks, actions = _actions(name, env, worlds)
        played = jax.jit(jax.vmap(_play(env)))(tasks, actions)
        arrays |= {f"{name} {key}": np.asarray(value) for key, value in played.items()}
        arrays |= {f"{name} tasks": np.asarray(tasks), f"{name} actions": actions}
    yield {"what": "states of C MuJoCo", "note": f"{len(arrays['names'])} scenes, {worlds} worlds, {STEPS} steps"}
    batch, gradient = _gradient_on(horizon)
    leaves = jax.tree.leaves((batch, gradient))
    arrays |= {f"gradient {i}": np.asarray(leaf) for i, leaf in enumerate(leaves)} | {"horizon": np.array(horizon)}
    np.savez(Path(directory) / FILE, **arrays)
    yield {"what": "meta-gradient on the CPU", "note": f"{TASKS} tasks, {horizon} steps"}


def distances(directory: str, physics: str) -> Iterator[dict[str, Any]]:
    """A row for each environment: how far its worlds are from C MuJoCo's."""
    arrays = np.load(Path(directory) / FILE)
    table = _cpu_table()
    for name in arrays["names"].tolist():
        what = f"{name}, {physics}"
        try:
            env = make(name, physics=physics)
        except ConfigError as error:
            yield {"what": what, "note": f"skipped: {str(error).splitlines()[0]}"}
            continue
        theirs = {key: arrays[f"{name} {key}"] for key in ("qpos", "qvel", "mocap_pos", "after", "obs")}
        tasks, actions = jnp.asarray(arrays[f"{name} tasks"]), arrays[f"{name} actions"]
        ours, stepped = _both(env)(tasks, actions, theirs)
        ours, step = jax.tree.map(np.asarray, ours), np.abs(np.asarray(stepped) - theirs["after"]).max(axis=(0, 2))
        apart = _apart(name, ours, theirs)
        on_cpu = table.get(name.split("/")[1]) if name.startswith("metaworld/") else None
        note = f"after one step from C's states: median {np.median(step):.1g}, worst {step.max():.1g}; worlds: {len(actions)}"
        note += f"; free for {actions.shape[1]} steps: median {np.median(apart):.1g}"
        if on_cpu is not None:
            note += f"; Warp on a CPU: worst {on_cpu:.1g}"
        yield {"what": what, "worlds": len(actions), "value": float(apart.max()), "unit": "m", "note": note}


def gradients(directory: str) -> Iterator[dict[str, Any]]:
    """Rows of the relative difference of the meta-gradient here from the CPU's, by precision of matrix products."""
    arrays = np.load(Path(directory) / FILE)
    structure = jax.eval_shape(lambda key: _batch(int(arrays["horizon"]), key), jax.random.key(0))
    count = len(jax.tree.leaves(structure))
    leaves = [jnp.asarray(arrays[f"gradient {i}"]) for i in range(count)]
    batch, theirs = jax.tree.unflatten(jax.tree.structure(structure), leaves), []
    while f"gradient {count + len(theirs)}" in arrays:
        theirs.append(arrays[f"gradient {count + len(theirs)}"])
    truth = np.concatenate([leaf.ravel() for leaf in theirs])
    for precision in ("default", "highest"):
        with jax.default_matmul_precision(precision):
            ours = jax.jit(jax.grad(_loss(int(arrays["horizon"]))))(batch[0], *batch[1:])
        ours = np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(ours)])
        difference = float(np.linalg.norm(ours - truth) / np.linalg.norm(truth))
        row = {
            "what": f"meta-gradient of {PRESET}, matrix products: {precision}",
            "value": difference,
            "unit": "relative",
        }
        yield row | {"bar": ("at most", 1e-3), "note": f"norm {np.linalg.norm(truth):.3g}; the CPU's in float32"}


def _c_env(name: str) -> MetaEnv:
    """On C MuJoCo; scenes of Meta-World without contact margins, as Warp has them."""
    if name.startswith("metaworld/"):
        return warp_drift.c_without_margins(name.split("/")[1])
    return make(name, physics="mujoco")


def _actions(name: str, env: MetaEnv, worlds: int) -> tuple[Any, np.ndarray]:
    """Tasks and actions `[worlds, STEPS, A]`."""
    if isinstance(env, MetaWorldEnv):
        family = name.split("/")[1]
        vectors = suites.family_vectors(family, 0)[:worlds].astype(np.float32)
        theirs, actions = reference.make_reference(family, vectors[0], show_goal=True), []
        for vector in vectors:
            reference.set_vector(theirs, vector, show_goal=True)
            actions.append(reference.expert_episode(theirs, family, STEPS, NOISE).action)
        return vectors, np.array(actions, np.float32)
    tasks = jax.vmap(env.sample_task)(jax.random.split(jax.random.key(0), worlds))
    shape = (worlds, STEPS, env.spec.action_dim)
    return tasks, np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _play(env: MetaEnv) -> Callable:
    """From a reset on: `qpos`, `qvel`, `mocap_pos` before each step, `after` (positions) and `obs`; `[STEPS, *]`."""

    def run(task: Any, actions: jax.Array) -> dict[str, jax.Array]:
        def step(state: Any, action: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
            before = _physics(state)
            state, timestep = env.step(state, action, task)
            seen = {"qpos": before.qpos, "qvel": before.qvel, "mocap_pos": before.mocap_pos}
            return state, seen | {"after": _physics(state).qpos, "obs": timestep.obs}

        return jax.lax.scan(step, env.reset(jax.random.key(0), task)[0], actions)[1]

    return run


def _one_step(env: MetaEnv) -> Callable:
    """Positions `[STEPS, nq]` after one step from each of their states."""

    def run(task: Any, actions: jax.Array, theirs: dict[str, jax.Array]) -> jax.Array:
        first, _ = env.reset(jax.random.key(0), task)

        def step(action: jax.Array, qpos: jax.Array, qvel: jax.Array, mocap_pos: jax.Array) -> jax.Array:
            physics = _physics(first)._replace(qpos=qpos, qvel=qvel, mocap_pos=mocap_pos)
            state = first._replace(physics=physics) if hasattr(first, "physics") else physics
            return _physics(env.step(state, action, task)[0]).qpos

        return jax.vmap(step)(actions, theirs["qpos"], theirs["qvel"], theirs["mocap_pos"])

    return run


def _both(env: MetaEnv) -> Callable:
    """`_play` and `_one_step` of all worlds as one program."""
    play, one_step = _play(env), _one_step(env)
    return jax.jit(jax.vmap(lambda task, actions, theirs: (play(task, actions), one_step(task, actions, theirs))))


def _physics(state: Any) -> Any:
    return getattr(state, "physics", state)


def _apart(name: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> np.ndarray:
    """How far hands and objects, or the root on the plane, ever were from theirs; `[worlds]`, m."""
    if name.startswith("metaworld/"):
        return reference.apart(ours["obs"], theirs["obs"]).max(axis=1)
    return np.linalg.norm(ours["after"][..., :2] - theirs["after"][..., :2], axis=-1).max(axis=1)


def _cpu_table() -> dict[str, float]:
    """The worst drift of each scene's task from C without margins, from the table measured on a CPU, where that is at hand."""
    try:
        rows = json.loads(_TABLE.read_text())["rows"]
    except OSError:
        return {}
    return {row["task"]: row["no margins"] for row in rows if row.get("no margins") is not None}


def _config(horizon: int):
    return meta_iteration.configure("cheetah-dir", "mujoco", horizon, TASKS)


def _inner(horizon: int) -> InnerLoop:
    config = _config(horizon)
    env = make(config.env, physics="mujoco", horizon=horizon)
    return InnerLoop(config.algorithm.inner, env, make_policy(config.policy, env.spec), first_order=False)


def _loss(horizon: int) -> Callable:
    inner, config = _inner(horizon), _config(horizon).algorithm
    return lambda meta, support, query: meta_loss(meta, inner, config, support, query, Weights(0.0, 0.0))[0]


def _batch(horizon: int, key: Any) -> Any:
    """Meta-parameters, and the support and query rounds that their policy gathered."""
    inner, algorithm = _inner(horizon), _config(horizon).algorithm
    key_meta, key_tasks, key_trial = jax.random.split(key, 3)
    meta = inner.init(key_meta)
    tasks = jax.vmap(inner.env.sample_task)(jax.random.split(key_tasks, TASKS))
    trial = inner.run_trial(meta, inner.policy.init_stats(), tasks, key_trial, (TASKS, algorithm.envs_per_task))
    return meta, trial.support, trial.query


def _gradient_on(horizon: int) -> tuple[Any, Any]:
    """A batch, and the meta-gradient on it a little away from the parameters that gathered it, where all terms count."""
    meta, support, query = jax.jit(lambda key: _batch(horizon, key))(jax.random.key(0))
    leaves, structure = jax.tree.flatten(meta)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.01 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    meta = jax.tree.unflatten(structure, moved)
    with jax.default_matmul_precision("highest"):
        return (meta, support, query), jax.jit(jax.grad(_loss(horizon)))(meta, support, query)
