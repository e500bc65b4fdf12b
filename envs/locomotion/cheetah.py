"""HalfCheetah: run in a direction, or at a speed.

PEARL (arXiv:1903.08254), ProMP (arXiv:1810.06784), MAML (arXiv:1703.03400), VariBAD (arXiv:1910.08348).
"""

import jax.numpy as jnp

from ...types import Array, Task
from ..physics import PhysicsState
from .bodies import HALF_CHEETAH, Body
from .env import Family, Motion
from .terms import control_cost, sample_direction, speeds


def direction_reward(motion: Motion, direction: Task) -> Array:
    """Velocity along the direction (m/s) less the control cost."""
    return direction * motion.velocity[0] - control_cost(0.05, motion.action)


def velocity_reward(motion: Motion, target: Task) -> Array:
    """Minus the distance from the wanted velocity (m/s) and the control cost."""
    return -jnp.abs(motion.velocity[0] - target) - control_cost(0.05, motion.action)


def observe_with_torso(body: Body, state: PhysicsState) -> Array:
    """qpos[1:], qvel, then where the torso is: 20 numbers. Slide joints make it a function of qpos."""
    torso = jnp.stack([state.qpos[0], jnp.zeros_like(state.qpos[0]), state.qpos[1] + 0.7])
    return jnp.concatenate([body.observe(state), torso])


CHEETAH_DIR = Family(HALF_CHEETAH, sample_direction, direction_reward, horizon=200)
CHEETAH_VEL = Family(HALF_CHEETAH, reward=velocity_reward, horizon=200, **speeds(0.0, 3.0))

FAMILIES = {
    "cheetah-dir": CHEETAH_DIR,
    "cheetah-dir/pearl": CHEETAH_DIR._replace(observe=observe_with_torso),
    "cheetah-dir/promp": CHEETAH_DIR._replace(horizon=100),
    "cheetah-vel": CHEETAH_VEL,
    "cheetah-vel/pearl": CHEETAH_VEL._replace(observe=observe_with_torso, num_tasks=(100, 30)),
    "cheetah-vel/maml": CHEETAH_VEL._replace(**speeds(0.0, 2.0)),
    "cheetah-vel/fast": CHEETAH_VEL._replace(**speeds(3.0, 4.0)),
}
