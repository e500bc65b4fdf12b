"""The v5 tasks step as the installed Gymnasium package steps them."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.envs import make

IDS = {
    "halfcheetah-v5": ("HalfCheetah-v5", {}),
    "hopper-v5": ("Hopper-v5", {}),
    "walker2d-v5": ("Walker2d-v5", {}),
    "ant-v5": ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0}),
    "ant-v5/contact": ("Ant-v5", {}),
}
NUM_STEPS = 200


def make_gymnasium(name):
    """Gymnasium's environment without its wrappers (time limit, checks), after a seeded reset."""
    env_id, kwargs = IDS[name]
    env = gymnasium.make(env_id, **kwargs).unwrapped
    env.reset(seed=1)
    env.action_space.seed(2)
    return env


def draw_action(reference):
    return reference.action_space.sample().astype(np.float64)


def relative_error(ours, theirs):
    ours = np.asarray(ours, np.float64)
    return np.max(np.abs(ours - theirs) / (1.0 + np.abs(theirs)))


def assert_equal(timestep, outcome, tolerance):
    obs, reward, terminated, _, _ = outcome
    assert relative_error(timestep.obs, obs) < tolerance
    assert relative_error(timestep.reward, reward) < tolerance
    assert bool(timestep.terminated) == terminated


@pytest.mark.parametrize("name", IDS)
def test_spec(name):
    env, reference = make(name, physics="mujoco"), make_gymnasium(name)
    assert env.spec.obs_dim == reference.observation_space.shape[0]
    assert env.spec.horizon == gymnasium.spec(IDS[name][0]).max_episode_steps
    np.testing.assert_allclose(env.spec.action_low, reference.action_space.low)
    np.testing.assert_allclose(env.spec.action_high, reference.action_space.high)


@pytest.mark.parametrize("name", IDS)
def test_one_step_from_the_same_state_in_single_precision(name):
    env, reference = make(name, physics="mujoco"), make_gymnasium(name)
    step = jax.jit(lambda qpos, qvel, action: env.step(env.physics.reset(qpos, qvel, {}), action, ())[1])
    endings = 0
    for _ in range(NUM_STEPS):
        qpos, qvel = (x.astype(np.float32) for x in (reference.data.qpos, reference.data.qvel))
        reference.set_state(qpos.astype(np.float64), qvel.astype(np.float64))
        action = draw_action(reference)
        outcome = reference.step(action)
        assert_equal(step(qpos, qvel, action.astype(np.float32)), outcome, 1e-5)
        endings += outcome[2]
    if name != "halfcheetah-v5":  # which never ends; the others must have met their limits here
        assert 0 < endings < NUM_STEPS


@pytest.mark.parametrize("name", IDS)
def test_free_running_in_double_precision(name):
    """Positions and velocities equal bit for bit over the whole run."""
    reference = make_gymnasium(name)
    with jax.enable_x64(True):
        env = make(name, physics="mujoco")
        state = env.physics.reset(jnp.asarray(reference.data.qpos), jnp.asarray(reference.data.qvel), {})
        step = jax.jit(env.step)
        for _ in range(NUM_STEPS):
            action = draw_action(reference)
            state, timestep = step(state, jnp.asarray(action), ())
            assert_equal(timestep, reference.step(action), 1e-14)
            np.testing.assert_array_equal(state.qpos, reference.data.qpos)
            np.testing.assert_array_equal(state.qvel, reference.data.qvel)


@pytest.mark.parametrize(
    "name", ["halfcheetah-v5", *(pytest.param(x, marks=pytest.mark.slow) for x in ("hopper-v5", "walker2d-v5"))]
)
def test_mjx_free_running(name):
    """Double precision, since single precision needs a looser bound, which would hide a wrong definition."""
    reference = make_gymnasium(name)
    contacts = 0
    with jax.enable_x64(True):
        env = make(name, physics="mjx")
        state = jax.jit(env.physics.reset)(reference.data.qpos, reference.data.qvel, {})
        step = jax.jit(env.step)
        for _ in range(40):
            action = draw_action(reference)
            state, timestep = step(state, jnp.asarray(action), ())
            assert_equal(timestep, reference.step(action), 1e-6)
            contacts += reference.data.ncon
    assert contacts > 0


@pytest.mark.slow
def test_mjx_steps_the_ant_nearly():
    """From Gymnasium's states: MJX 3.17 integrates free joints by RK4 as MuJoCo 3 did, MuJoCo 4 does otherwise."""
    reference, errors = make_gymnasium("ant-v5/contact"), []
    with jax.enable_x64(True):
        env = make("ant-v5/contact", physics="mjx")
        start = jax.jit(env.physics.reset)(reference.data.qpos, reference.data.qvel, {})
        step = jax.jit(env.step)
        for _ in range(40):
            action, data = draw_action(reference), reference.data
            # MJX turns the friction pyramid of a capsule steeper than 60 degrees about the normal, C MuJoCo does not:
            # this keeps the ankles at 30 degrees.
            action[[1, 3, 5, 7]] = -1.0, -1.0, 1.0, 1.0
            names = {"qpos": data.qpos, "qvel": data.qvel, "warmstart": data.qacc_warmstart}
            state = start._replace(**{name: jnp.asarray(x.copy()) for name, x in names.items()})
            _, timestep = step(state, jnp.asarray(action), ())
            obs, *_ = reference.step(action)
            errors.append(relative_error(timestep.obs, obs))
    assert np.median(errors) < 5e-4 and np.max(errors) < 0.5


@pytest.mark.parametrize("name", IDS)
def test_reset_distribution(name):
    env, reference = make(name, physics="mujoco"), make_gymnasium(name)
    keys = jax.random.split(jax.random.key(0), 4000)
    states, timesteps = jax.vmap(env.reset, in_axes=(0, None))(keys, ())
    scale = reference._reset_noise_scale
    qpos_noise = np.asarray(states.qpos) - reference.init_qpos
    assert np.abs(qpos_noise).max() <= scale * 1.001
    # standard deviations: of U[-s, s] it is s / sqrt(3); 4000 draws put the estimate within 5 %
    np.testing.assert_allclose(qpos_noise.std(0), scale / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(qpos_noise.mean(0), 0.0, atol=0.05 * scale)
    qvel = np.asarray(states.qvel)
    np.testing.assert_allclose(qvel.mean(0), 0.0, atol=0.1 * scale)
    if name in ("hopper-v5", "walker2d-v5"):
        assert np.abs(qvel).max() <= scale * 1.001
        np.testing.assert_allclose(qvel.std(0), scale / np.sqrt(3), rtol=0.05)
    else:
        assert np.abs(qvel).max() > 2.5 * scale  # normal, not uniform
        np.testing.assert_allclose(qvel.std(0), scale, rtol=0.05)
    assert not timesteps.terminated.any()
    assert not timesteps.reward.any()


@pytest.mark.parametrize("name", IDS)
def test_first_observation(name):
    env, reference = make(name, physics="mujoco"), make_gymnasium(name)
    state, timestep = env.reset(jax.random.key(3), ())
    reference.reset()
    reference.set_state(np.asarray(state.qpos, np.float64), np.asarray(state.qvel, np.float64))
    assert relative_error(timestep.obs, reference._get_obs()) < 1e-6
