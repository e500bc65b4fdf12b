"""Shared by all tests: a cache of compiled programs, a strict runtime, a tiny environment and tiny configurations."""

import contextlib
import dataclasses
import importlib.metadata
import os
import shutil
import tempfile
import typing
from typing import NamedTuple

_CACHE = tempfile.TemporaryDirectory(prefix="metarl-tests-")
# One program is compiled once per session, also across subprocesses.
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax  # noqa: E402 -- reads the environment above
import jax.numpy as jnp  # noqa: E402
import matplotlib  # noqa: E402
import pytest  # noqa: E402

from metarl_jax.algorithms.critic import CriticConfig  # noqa: E402
from metarl_jax.algorithms.inner_loop import InnerLoopConfig  # noqa: E402
from metarl_jax.algorithms.maml_ppo import MamlPpoConfig  # noqa: E402
from metarl_jax.algorithms.maml_trpo import MamlTrpoConfig  # noqa: E402
from metarl_jax.algorithms.pearl import PearlConfig  # noqa: E402
from metarl_jax.algorithms.ppo import PpoConfig  # noqa: E402
from metarl_jax.algorithms.ppo_update import PpoUpdateConfig  # noqa: E402
from metarl_jax.algorithms.q_critic import QCriticConfig  # noqa: E402
from metarl_jax.algorithms.reptile import ReptileConfig  # noqa: E402
from metarl_jax.algorithms.rl2 import Rl2Config  # noqa: E402
from metarl_jax.algorithms.sac import SacConfig  # noqa: E402
from metarl_jax.errors import ConfigError  # noqa: E402
from metarl_jax.learning.optim import OptimizerConfig  # noqa: E402
from metarl_jax.networks import MemoryConfig, NetworkConfig  # noqa: E402
from metarl_jax.policies import PolicyConfig  # noqa: E402
from metarl_jax.types import EnvSpec, TimeStep  # noqa: E402

matplotlib.use("Agg")


def pytest_configure(config):
    config.add_cleanup(_CACHE.cleanup)
    if config.option.markexpr == "not slow":
        # Most of the time went into making machine code fast that runs for milliseconds: a quarter into LLVM's optimisation,
        # half of the rest into the newer of XLA's two ways to write loops. What XLA does to a program before that stays as
        # it is, and slow tests have it all.
        flags = "--xla_backend_optimization_level=0"
        if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones stop at a flag that they do not know
            # Nor is a module split for threads to compile: the workers have the cores, and a quarter goes into splitting.
            flags += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"


@pytest.fixture
def strict_ranks():
    """Shapes that differ in rank do not broadcast."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


class PointState(NamedTuple):
    position: jax.Array  # [2]


class PointEnv:
    """A point that should reach a goal on the unit circle; a task is the goal `[2]`.

    Reward is minus the distance after the step. An episode starts within +-0.1 and terminates within `reach` of the goal.
    An action outside the bounds gives a reward of nan: no rollout may do that.
    """

    tasks = None

    def __init__(self, horizon=8, reach=0.0, limit=0.3, name="point-test"):
        self.reach, self.limit = reach, limit
        self.spec = EnvSpec(name, 2, 2, horizon, (-limit, -limit), (limit, limit))

    def sample_task(self, key):
        angle = jax.random.uniform(key, maxval=2.0 * jnp.pi)
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def reset(self, key, task):
        position = jax.random.uniform(key, (2,), minval=-0.1, maxval=0.1)
        return PointState(position), TimeStep(position, jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        position = state.position + action
        distance = jnp.linalg.norm(position - task)
        allowed = (jnp.abs(action) <= self.limit * (1.0 + 1e-6)).all()
        reward = jnp.where(allowed, -distance, jnp.nan)
        return PointState(position), TimeStep(position, reward, distance < self.reach)


@pytest.fixture(scope="session")
def make_point():
    """The class of the tiny environment."""
    return PointEnv


@pytest.fixture(scope="session")
def tiny_policy():
    return PolicyConfig(network=NetworkConfig(hidden=(8,)), init_log_std=-0.5)


@pytest.fixture(scope="session")
def policy_for(tiny_policy):
    """Name of an algorithm -> a tiny policy that it can train."""
    memory = MemoryConfig("s5", width=8, state=4)
    soft = {"distribution": "tanh-gaussian", "state_std": True}
    changes = {"rl2": {"memory": memory}, "sac": soft, "pearl": soft}
    return lambda name: dataclasses.replace(tiny_policy, **changes.get(name, {}))


_INNER = InnerLoopConfig(lr=0.3, gamma=0.9)
_UPDATE = PpoUpdateConfig(epochs=2, minibatches=2, clip=0.3)
_COMMON = {"num_tasks": 8, "envs_per_task": 8, "optimizer": OptimizerConfig(lr=3e-3)}
_MAML = MamlPpoConfig(**_COMMON, inner=_INNER, update=_UPDATE)
TINY = {
    "maml-ppo": _MAML,
    "fomaml": dataclasses.replace(_MAML, first_order=True),
    "promp": dataclasses.replace(_MAML, inner_kl_coef=5e-4),
    "maml-trpo": MamlTrpoConfig(num_tasks=8, envs_per_task=8, inner=_INNER),
    "reptile": ReptileConfig(**_COMMON, inner=dataclasses.replace(_INNER, steps=2)),
    "rl2": Rl2Config(
        num_tasks=4,
        envs_per_task=2,
        episodes=2,
        chunk=4,
        critic=CriticConfig(NetworkConfig(hidden=(8,)), coef=1.0),
        update=_UPDATE,
        optimizer=OptimizerConfig(lr=3e-3),
    ),
    "pearl": PearlConfig(
        num_tasks=8,
        prior_episodes=2,
        updates=3,
        meta_batch=4,
        batch_size=8,
        context_size=8,
        latent=3,
        capacity=2_000,
        encoder=NetworkConfig(hidden=(8,)),
        critic=QCriticConfig(NetworkConfig(hidden=(8,))),
        optimizer=OptimizerConfig(lr=3e-3),
    ),
    "sac": SacConfig(
        num_tasks=2,
        envs_per_task=4,
        unroll=4,
        n_step=2,
        capacity=256,
        random_steps=32,
        updates_per_step=0.25,
        batch_size=16,
        critic=QCriticConfig(NetworkConfig(hidden=(8,))),
        optimizer=OptimizerConfig(lr=3e-3),
    ),
    "ppo": PpoConfig(
        envs_per_task=8,
        unroll=14,
        critic=CriticConfig(NetworkConfig(hidden=(8,))),
        update=_UPDATE,
        optimizer=OptimizerConfig(lr=3e-3),
    ),
}


@pytest.fixture(scope="session")
def tiny_algorithms():
    """A tiny configuration of every algorithm, by name."""
    return TINY


def variations(config, prefix=""):
    """(dotted name, `config` with another value there) for every leaf field; every other option of a Literal."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            changed = [(sub, v) for sub, v in variations(value, name + ".")]
        else:
            changed = [(name, v) for v in _others(value, hints[field.name])]
        for sub, other in changed:
            with contextlib.suppress(ConfigError):  # not every value goes with every other field
                yield sub, dataclasses.replace(config, **{field.name: other})


def _others(value, hint):
    if typing.get_origin(hint) is typing.Literal:
        return [option for option in typing.get_args(hint) if option != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [2 * value if value else 1]
    if isinstance(value, float):
        return [0.5 if value in (0.0, float("inf")) else 0.5 * value]
    if isinstance(value, tuple):
        return [(*value, 3)]
    return []  # names and None: what they may be is for each test to say


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Directory -> a copy of it that a test may spoil, `run` in the current directory."""
    monkeypatch.chdir(tmp_path)
    return lambda directory: shutil.copytree(directory, tmp_path / "run")


@pytest.fixture(scope="session")
def vary():
    """See `variations`."""
    return variations
