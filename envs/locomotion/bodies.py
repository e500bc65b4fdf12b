"""The simulated bodies, as Gymnasium's v5 environments drive them; models come from the installed gymnasium package."""

import importlib.resources
import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from ...types import Array, Key
from ..physics import PhysicsState


class Body(NamedTuple):
    """A MuJoCo model and the conventions around it."""

    xml: str  # file name in gymnasium's assets
    substeps: int  # "frame skip"
    hidden_positions: int  # leading entries of qpos (where on the plane) that are not observed
    reset_noise: float
    velocity_noise: Literal["normal", "uniform"]
    velocity_limit: float = jnp.inf  # observed velocities are clipped to +- this

    def load(self, edit_model: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
        path = importlib.resources.files("gymnasium.envs.mujoco") / "assets" / self.xml
        spec = mujoco.MjSpec.from_file(str(path))
        if edit_model is not None:
            edit_model(spec)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "compiler attribute 'settotalmass'")  # gymnasium's half_cheetah.xml
            return spec.compile()

    def initial(self, key: Key, model: mujoco.MjModel) -> tuple[Array, Array]:
        """Positions `[nq]` and velocities `[nv]` at reset, with Gymnasium's noise."""
        key_q, key_v = jax.random.split(key)
        qpos = jnp.asarray(model.qpos0, float)
        qpos += self.reset_noise * jax.random.uniform(key_q, (model.nq,), minval=-1.0, maxval=1.0)
        if self.velocity_noise == "normal":
            return qpos, self.reset_noise * jax.random.normal(key_v, (model.nv,))
        return qpos, self.reset_noise * jax.random.uniform(key_v, (model.nv,), minval=-1.0, maxval=1.0)

    def observe(self, state: PhysicsState) -> Array:
        """Positions but the hidden ones, then velocities."""
        qvel = jnp.clip(state.qvel, -self.velocity_limit, self.velocity_limit)
        return jnp.concatenate([state.qpos[self.hidden_positions :], qvel])


HALF_CHEETAH = Body("half_cheetah.xml", substeps=5, hidden_positions=1, reset_noise=0.1, velocity_noise="normal")
ANT = Body("ant.xml", substeps=5, hidden_positions=2, reset_noise=0.1, velocity_noise="normal")
HOPPER = Body(
    "hopper.xml", substeps=4, hidden_positions=1, reset_noise=5e-3, velocity_noise="uniform", velocity_limit=10.0
)
WALKER = Body(
    "walker2d_v5.xml", substeps=4, hidden_positions=1, reset_noise=5e-3, velocity_noise="uniform", velocity_limit=10.0
)
HUMANOID = Body("humanoid.xml", substeps=5, hidden_positions=2, reset_noise=1e-2, velocity_noise="uniform")
