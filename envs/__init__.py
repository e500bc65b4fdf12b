"""Environments by name: `make("cheetah-dir", physics="mujoco")`. Importing this module imports neither a simulator nor JAX."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import plugins
from ..errors import ConfigError, lookup

if TYPE_CHECKING:
    from ..types import MetaEnv, Split, Suite
    from .exports.brax import as_brax
    from .exports.gymnasium import as_gymnasium
    from .exports.sb3 import as_sb3

__all__ = ["BACKENDS", "ENVIRONMENTS", "as_brax", "as_gymnasium", "as_sb3", "make"]

# What makes our environments those of another package: its module below, and the extra that it takes.
_EXPORTS = {"as_brax": ("brax", "brax"), "as_gymnasium": ("gymnasium", None), "as_sb3": ("sb3", "sb3")}


class Entry(NamedTuple):
    """Where an environment is made: `make(name, physics, horizon, split)` of that module, and one line about it.

    A summary that begins with "..." says how the form differs from the family's default form.
    """

    module: str
    summary: str


ENVIRONMENTS: dict[str, Entry] = {
    "cheetah-dir": Entry("locomotion", "HalfCheetah runs backward or forward (-1, +1); 17 observations, H=200"),
    "cheetah-dir/pearl": Entry("locomotion", "... the torso's position is observed too (20)"),
    "cheetah-dir/promp": Entry("locomotion", "... H=100"),
    "cheetah-vel": Entry("locomotion", "HalfCheetah keeps a speed from U[0, 3] m/s; 17 observations, H=200"),
    "cheetah-vel/pearl": Entry(
        "locomotion", "... 100 training and 30 test speeds, the torso's position is observed too (20)"
    ),
    "cheetah-vel/maml": Entry("locomotion", "... speeds from U[0, 2] m/s"),
    "cheetah-vel/fast": Entry("locomotion", "... speeds from U[3, 4] m/s, outside of what the others train on"),
    "ant-dir": Entry("locomotion", "Ant runs in a direction of the plane; 27 observations, no contact forces, H=200"),
    "ant-dir/pearl": Entry("locomotion", "... with the cost of contact forces"),
    "ant-dir/promp": Entry(
        "locomotion", "... with contact forces in cost and observation (111), ends above 1 m or below 0 m"
    ),
    "ant-dir/varibad": Entry(
        "locomotion", "... contact cost; directions -1 and +1 read as radians, so both lead forward"
    ),
    "ant-vel": Entry("locomotion", "Ant keeps a speed from U[0, 3] m/s, MAML's reward; 27 observations, H=200"),
    "ant-goal": Entry(
        "locomotion", "Ant goes to a point of a disk (3 m); 29 observations, no contact forces, never ends, H=200"
    ),
    "ant-goal/pearl": Entry(
        "locomotion", "... contact forces in cost and observation (113), 150 training and 30 test goals"
    ),
    "ant-goal/maml": Entry(
        "locomotion", "... contact forces (113), goals from a square (+-3 m), +4 per step, ends when fallen"
    ),
    "humanoid-dir": Entry(
        "locomotion", "Humanoid walks in a direction of the plane; 45 observations, no contact forces, H=200"
    ),
    "humanoid-dir/pearl": Entry(
        "locomotion", "... inertias and forces are observed (376), contact cost, 100 and 30 directions"
    ),
    "walker-rand-params": Entry(
        "locomotion", "Walker2d with random mass, inertia, friction, damping; 40 and 10 tasks, H=200"
    ),
    "hopper-rand-params": Entry(
        "locomotion", "Hopper with random mass, inertia, friction, damping; 40 and 10 tasks, H=200"
    ),
    "halfcheetah-v5": Entry("locomotion", "Gymnasium's HalfCheetah-v5; one task, 17 observations, H=1000"),
    "hopper-v5": Entry("locomotion", "Gymnasium's Hopper-v5; one task, 11 observations, H=1000"),
    "walker2d-v5": Entry("locomotion", "Gymnasium's Walker2d-v5; one task, 17 observations, H=1000"),
    "ant-v5": Entry(
        "locomotion", "Gymnasium's Ant-v5 without contact forces in cost or observation (27); one task, H=1000"
    ),
    "ant-v5/contact": Entry(
        "locomotion", "Gymnasium's Ant-v5 by default: contact forces in cost and observation (105)"
    ),
    "point": Entry(
        "navigation", "A point seeks a goal in the square +-1, random start, reward -distance, steps +-0.1, H=20"
    ),
    "point/pearl": Entry("navigation", "... 80 training and 20 test goals"),
    "point/maml": Entry("navigation", "... goals in the square +-0.5, starts at 0, ends at the goal, H=100"),
    "point/promp": Entry("navigation", "... goals are the corners (+-2, +-2), starts within +-0.2, steps +-0.2, H=100"),
    "point-sparse": Entry(
        "navigation", "A point seeks a goal on the unit half circle, reward only within 0.2 of it, H=20"
    ),
    "point-sparse/pearl": Entry("navigation", "... 80 training and 20 test goals"),
    "point-sparse/promp": Entry(
        "navigation", "... corners as point/promp; reward is progress, once past |x|+|y|=0.5 and nearest"
    ),
    "point-sparse/varibad": Entry("navigation", "... H=100"),
    "recall": Entry("recall", "A corridor whose first observation says where to turn after the last step; H=200"),
    "recall/mixed": Entry("recall", "... corridors of all lengths up to that in training, of that length in the test"),
    "bandit/5": Entry(
        "bandits", "Bernoulli bandit of 5 arms, discrete actions; an episode is a trial of 10 pulls (--horizon)"
    ),
    "bandit/2": Entry("bandits", "... of 2 arms"),
    "bandit/10": Entry("bandits", "... of 10 arms"),
    "bandit/50": Entry("bandits", "... of 50 arms"),
    "mdp": Entry("mdps", "Random tabular MDPs of 10 states and 5 discrete actions; H=10"),
}

# Meta-World's names are built of parts, which envs/metaworld/__init__.py explains.
METAWORLD_SUITES = ("MT10", "MT25", "MT50", "ML10", "ML25", "ML45")
METAWORLD = (
    "assembly-v3",
    "basketball-v3",
    "bin-picking-v3",
    "box-close-v3",
    "button-press-topdown-v3",
    "button-press-topdown-wall-v3",
    "button-press-v3",
    "button-press-wall-v3",
    "coffee-button-v3",
    "coffee-pull-v3",
    "coffee-push-v3",
    "dial-turn-v3",
    "disassemble-v3",
    "door-close-v3",
    "door-lock-v3",
    "door-open-v3",
    "door-unlock-v3",
    "drawer-close-v3",
    "drawer-open-v3",
    "faucet-close-v3",
    "faucet-open-v3",
    "hammer-v3",
    "hand-insert-v3",
    "handle-press-side-v3",
    "handle-press-v3",
    "handle-pull-side-v3",
    "handle-pull-v3",
    "lever-pull-v3",
    "peg-insert-side-v3",
    "peg-unplug-side-v3",
    "pick-out-of-hole-v3",
    "pick-place-v3",
    "pick-place-wall-v3",
    "plate-slide-back-side-v3",
    "plate-slide-back-v3",
    "plate-slide-side-v3",
    "plate-slide-v3",
    "push-back-v3",
    "push-v3",
    "push-wall-v3",
    "reach-v3",
    "reach-wall-v3",
    "shelf-place-v3",
    "soccer-v3",
    "stick-pull-v3",
    "stick-push-v3",
    "sweep-into-v3",
    "sweep-v3",
    "window-close-v3",
    "window-open-v3",
)
METAWORLD_NAMES = {
    "Meta-World: metaworld/NAME, and options after further slashes": {
        "suites": " ".join(METAWORLD_SUITES) + " (ML: goal hidden, training and test tasks; MT: goal shown)",
        "tasks": " ".join(METAWORLD) + " (goal hidden, fresh task vectors; 39 observations, H=500)",
        "several": "reach-v3+push-v3 (any tasks joined by +)",
        "on the host": "metaworld-host/NAME trains on the installed package itself, in worker processes (slow)",
    },
    "Options of Meta-World": {
        "/ml1, /mt1": "of tasks: the package's 50 training and 50 test vectors of ML1; the same, goal shown, of MT1",
        "/fresh": "unlimited training tasks from the same space; the test tasks stay the package's",
        "/seed=3": "the package's vectors of that seed instead of 0",
        "/v1": "the package's first reward design (the tasks of MT10 and ML10, and a few more)",
        "/one-hot": "the observation ends with which task of the suite it is",
    },
}

# Other packages whose environments can be named, `PACKAGE/NAME`: each a module of envs/adapters.
ADAPTERS = {
    "brax": "brax.envs, such as ant; --physics chooses one of brax's own backends; needs the extra 'brax'",
    "playground": "MuJoCo Playground, such as CartpoleBalance, on MJX; needs the extra 'playground'",
    "gymnax": "gymnax, such as CartPole-v1; needs the extra 'gymnax'",
    "gymnasium": "whatever is registered with Gymnasium, such as Acrobot-v1, stepped on the host",
}
ADAPTED_NAMES = {
    "Environments of other packages": {f"{package}/NAME": summary for package, summary in ADAPTERS.items()},
    "Options of these": {
        "/tasks=my_module:draw": "of brax, playground and gymnax: a function of yours draws the parameters of tasks",
        "/randomized": "of playground: its own domain randomiser draws them",
    },
    "Environments of yours": {
        "my_package.my_module:make": "what a function (name, *, physics, horizon, split) makes, a MetaEnv or a Suite",
    },
}

# Options of the names in ENVIRONMENTS.
OPTIONS = {
    "/one-hot": "of families with finitely many tasks, the same in training and test: the observation ends with which it is",
}

BACKENDS = {
    "auto": "mujoco on CPU; warp (mjx where warp is missing) on CUDA; mjx on TPU",
    "mujoco": "C MuJoCo on a pool of host threads: the fastest on CPU, works beside any device",
    "mjx": "MuJoCo as an XLA program: CPU, GPU and TPU",
    "warp": "MJX with NVIDIA Warp's kernels: CUDA (CPU for tests); needs the extra 'warp'",
}


def make(name: str, *, physics: str = "auto", horizon: int | None = None, split: Split = "train") -> MetaEnv | Suite:
    """Builds an environment, or a suite of them.

    Args:
      name: a key of `ENVIRONMENTS`, "/one-hot" after it or not; a name of Meta-World; of another package (`ADAPTERS`); an
        entry point of the group `metarl_jax.environments`, or `my_package.my_module:make`, further options after a slash.
      physics: a key of `BACKENDS`; "auto" for environments without physics.
      horizon: steps per episode, where it should differ from the environment's own.
      split: which tasks `sample_task` draws from, for families with a fixed set of them.

    Raises:
      ConfigError: unknown name, backend or split, backend or package not installed, or horizon < 1.
    """
    if horizon is not None and horizon < 1:
        raise ConfigError(f"horizon must be at least 1, not {horizon}.")
    lookup(split, dict.fromkeys(("train", "test")), "split")
    if name.startswith("metaworld/"):
        return _module("metaworld").make(name, physics, horizon, split)
    family = name.removesuffix("/one-hot")
    maker = _maker(family)
    env = maker(family, physics, horizon, split)
    if family == name:
        return env
    other = maker(family, physics, horizon, "test" if split == "train" else "train")
    return _module("labelled").labelled(name, env, other)


def _maker(name: str) -> Callable:
    """`make` of the module that makes the environment of that name."""
    first, _, rest = name.partition("/")
    if first in ADAPTERS and rest:
        return _module(f"adapters.{first}").make
    found = None if name in ENVIRONMENTS else plugins.find(plugins.ENVIRONMENTS, first)
    if found is not None:
        return _outside(first, found)
    known = ENVIRONMENTS | dict.fromkeys(f"metaworld/{n}" for n in METAWORLD)
    known |= dict.fromkeys(plugins.named(plugins.ENVIRONMENTS))
    return _module(lookup(name, known, "environment").module).make


def _outside(where: str, function: Any) -> Callable:
    """`make` of another package, which is called as this module's is."""

    def make(name: str, physics: str, horizon: int | None, split: str) -> Any:
        given = {"physics": physics, "horizon": horizon, "split": split}
        try:
            inspect.signature(function).bind(name, **given)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where!r} must be a function (name, *, physics, horizon, split): {error}.") from error
        env = function(name, **given)
        if not hasattr(env, "spec"):
            raise ConfigError(f"{where!r} made {env!r}, which is no MetaEnv (metarl_jax/types.py) and no Suite.")
        if horizon is not None and env.spec.horizon != horizon:
            raise ConfigError(
                f"{where!r} made {env.spec.horizon} steps per episode of the horizon {horizon} it was given."
            )
        return env

    return make


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __name__)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _EXPORTS[name]
    try:
        return getattr(_module(f"exports.{module}"), name)
    except ModuleNotFoundError as error:
        if extra is None:
            raise
        raise ConfigError(f"{name} needs {error.name}: pip install 'metarl-jax[{extra}]'.") from error
