"""Task families: rewards in closed form, observations, limits, and what random parameters do."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from metarl_jax.envs import ENVIRONMENTS, make
from metarl_jax.envs.locomotion import FAMILIES

LOCOMOTION = [name for name, entry in ENVIRONMENTS.items() if entry.module == "locomotion"]
META = [name for name in LOCOMOTION if "-v5" not in name]

# (observations, horizon) of every form
SHAPES = {
    "cheetah-dir": (17, 200),
    "cheetah-dir/pearl": (20, 200),
    "cheetah-dir/promp": (17, 100),
    "cheetah-vel": (17, 200),
    "cheetah-vel/pearl": (20, 200),
    "cheetah-vel/maml": (17, 200),
    "cheetah-vel/fast": (17, 200),
    "ant-dir": (27, 200),
    "ant-dir/pearl": (27, 200),
    "ant-dir/promp": (111, 200),
    "ant-dir/varibad": (27, 200),
    "ant-vel": (27, 200),
    "ant-goal": (29, 200),
    "ant-goal/pearl": (113, 200),
    "ant-goal/maml": (113, 200),
    "humanoid-dir": (45, 200),
    "humanoid-dir/pearl": (376, 200),
    "walker-rand-params": (17, 200),
    "hopper-rand-params": (11, 200),
}


def direction(angle):
    return np.array([np.cos(angle), np.sin(angle)])


def cheetah_dir(v, x, a, task, contacts):
    return task * v[0] - 0.05 * a @ a


def cheetah_vel(v, x, a, task, contacts):
    return -abs(v[0] - task) - 0.05 * a @ a


def ant_dir(v, x, a, task, contacts):
    return v @ direction(task) + 1 - 0.5 * a @ a - 0.5e-3 * contacts


def ant_vel(v, x, a, task, contacts):
    return -abs(v[0] - task) + 1 + 0.05 - 0.005 * a @ a


def ant_goal(v, x, a, task, contacts):
    return -np.abs(x - task).sum() - 0.1 * a @ a - 0.5e-3 * contacts


def ant_goal_maml(v, x, a, task, contacts):
    return -np.abs(x - task).sum() + 4 + 0.05 - 0.005 * a @ a - 0.5e-3 * contacts


def humanoid_dir(v, x, a, task, contacts):
    return 1.25 * v @ direction(task) + 5 - 0.1 * a @ a


def rand_params(v, x, a, task, contacts):
    return v[0] + 1 - 1e-3 * a @ a


REWARDS = {
    "cheetah-dir": cheetah_dir,
    "cheetah-vel": cheetah_vel,
    "ant-dir": ant_dir,
    "ant-vel": ant_vel,
    "ant-goal": ant_goal,
    "ant-goal/maml": ant_goal_maml,
    "humanoid-dir": humanoid_dir,
    "walker-rand-params": rand_params,
    "hopper-rand-params": rand_params,
}


def reward_of(name):
    return REWARDS.get(name) or REWARDS[name.partition("/")[0]]


def mass_center(model, qpos):
    """As Gymnasium computes it: [x, y] of the body's masses."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    return (model.body_mass @ data.xipos / model.body_mass.sum())[:2]


def run(env, num_steps, seed=0, task=None):
    """A random episode: the task, and lists of states (one more), actions and time steps."""
    keys = jax.random.split(jax.random.key(seed), num_steps + 2)
    task = env.sample_task(keys[0]) if task is None else task
    low, high = jnp.array(env.spec.action_low), jnp.array(env.spec.action_high)
    actions = jax.vmap(lambda k: jax.random.uniform(k, low.shape, minval=low, maxval=high))(keys[2:])
    state, _ = env.reset(keys[1], task)
    step = jax.jit(env.step)
    states, timesteps = [state], []
    for action in actions:
        state, timestep = step(state, action, task)
        states.append(state)
        timesteps.append(timestep)
    return task, states, actions, timesteps


@pytest.mark.parametrize("name", META)
def test_shapes(name):
    env = make(name, physics="mujoco")
    assert (env.spec.obs_dim, env.spec.horizon) == SHAPES[name]
    assert env.spec.name == name
    assert len(env.spec.action_low) == len(env.spec.action_high) == env.spec.action_dim


@pytest.mark.parametrize("name", META)
def test_reward_in_closed_form(name):
    env = make(name, physics="mujoco")
    model = env.physics.model
    dt = {"cheetah": 0.05, "ant": 0.05, "humanoid": 0.015, "walker": 0.008, "hopper": 0.008}[name.partition("-")[0]]
    task, states, actions, timesteps = run(env, 60)
    task = np.asarray(task, np.float64) if not isinstance(task, dict) else None
    met_contact = False
    for before, after, action, timestep in zip(states[:-1], states[1:], actions, timesteps, strict=True):
        before_qpos, after_qpos = (np.asarray(s.qpos, np.float64) for s in (before, after))
        if name.startswith("humanoid"):
            position = [mass_center(model, qpos) for qpos in (before_qpos, after_qpos)]
        else:
            position = before_qpos[:2], after_qpos[:2]
        velocity = (position[1] - position[0]) / dt
        forces = np.asarray(after.fields.get("cfrc_ext", 0.0), np.float64)
        met_contact |= np.any(forces != 0)
        a = np.asarray(action, np.float64)
        if name == "humanoid-dir/pearl":
            expected = humanoid_dir(velocity, None, a, task, None) - min(0.5e-6 * (forces**2).sum(), 10)
        else:
            contacts = (np.clip(forces, -1, 1) ** 2).sum()
            expected = reward_of(name)(velocity, position[1], a, task, contacts)
        assert timestep.reward == pytest.approx(
            expected, abs=2e-4
        )  # a velocity is a small difference in single precision
    assert met_contact == ("cfrc_ext" in FAMILIES[name].fields)


@pytest.mark.parametrize("name", ["walker-rand-params", "hopper-rand-params"])
def test_random_parameters(name):
    env = make(name, physics="mujoco")
    model = env.physics.model
    tasks = jax.vmap(env.sample_task)(jax.random.split(jax.random.key(0), 500))
    for array, base in {"body_mass": 1.5, "body_inertia": 1.5, "geom_friction": 1.5, "dof_damping": 1.3}.items():
        multipliers = np.asarray(tasks[array])
        assert multipliers.shape[1:] == getattr(model, array).shape
        exponents = np.log(multipliers) / np.log(base)
        assert -3.001 < exponents.min() < -2.5
        assert 2.5 < exponents.max() < 3.001
        assert np.unique(exponents[0]).size == exponents[0].size  # one for each element
    # stepping equals C MuJoCo on a model whose arrays were multiplied by hand
    task, states, actions, _ = run(env, 30)
    changed = FAMILIES[name].body.load()
    for array, multiplier in task.items():
        getattr(changed, array)[:] *= np.asarray(multiplier)
    data = mujoco.MjData(changed)
    moved = 0.0
    for before, after, action in zip(states[:-1], states[1:], actions, strict=True):
        mujoco.mj_resetData(changed, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = before.qpos, before.qvel, action
        mujoco.mj_step(changed, data, 4)
        np.testing.assert_allclose(after.qpos, data.qpos, atol=1e-5)
        np.testing.assert_allclose(after.qvel, data.qvel, rtol=1e-4, atol=1e-4)
        plain = mujoco.MjData(model)
        plain.qpos[:], plain.qvel[:], plain.ctrl[:] = before.qpos, before.qvel, action
        mujoco.mj_step(model, plain, 4)
        moved = max(moved, np.abs(plain.qvel - data.qvel).max())
    assert moved > 0.1  # the parameters matter


@pytest.mark.parametrize(
    ("name", "index", "alive", "over"),
    [
        ("ant-dir", 2, (0.21, 0.99), (0.19, 1.01)),
        ("ant-dir/promp", 2, (0.01, 0.99), (-0.01, 1.01)),
        ("ant-vel", 2, (0.21, 0.99), (0.19, 1.01)),
        ("ant-goal", 2, (0.01, 5.0), ()),
        ("ant-goal/maml", 2, (0.21, 0.99), (0.19, 1.01)),
        ("humanoid-dir", 2, (1.01, 1.99), (0.99, 2.01)),
        ("walker-rand-params", 1, (0.81, 1.99), (0.79, 2.01)),
        ("walker-rand-params", 2, (-0.99, 0.99), (-1.01, 1.01)),
        ("hopper-rand-params", 1, (0.71, 5.0), (0.69,)),
        ("hopper-rand-params", 2, (-0.19, 0.19), (-0.21, 0.21)),
        ("hopper-rand-params", 3, (99.0,), (101.0, -101.0, np.nan)),
        ("cheetah-dir", 1, (-9.0, 9.0), ()),
    ],
)
def test_termination(name, index, alive, over):
    state, _ = make(name, physics="mujoco").reset(
        jax.random.key(0), make(name, physics="mujoco").sample_task(jax.random.key(1))
    )
    for value, ends in [(v, False) for v in alive] + [(v, True) for v in over]:
        moved = state._replace(qpos=state.qpos.at[index].set(value))
        assert bool(FAMILIES[name].terminated(moved)) == ends, value


def test_torso_is_observed():
    env = make("cheetah-dir/pearl", physics="mujoco")
    _, states, _, timesteps = run(env, 20)
    data = mujoco.MjData(env.physics.model)
    data.qpos[:] = states[-1].qpos
    mujoco.mj_forward(env.physics.model, data)
    np.testing.assert_allclose(timesteps[-1].obs[-3:], data.body("torso").xpos, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "skipped", "clip", "fields"),
    [
        ("ant-goal/pearl", 0, 1.0, ("cfrc_ext",)),
        ("ant-dir/promp", 2, 1.0, ("cfrc_ext",)),
        ("humanoid-dir/pearl", 2, np.inf, ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")),
    ],
)
def test_observed_fields_are_those_of_mj_step(name, skipped, clip, fields):
    """Against a loop around `mj_step` and `mj_rnePostConstraint` that starts from the same state."""
    env = make(name, physics="mujoco")
    _, states, actions, timesteps = run(env, 30)
    data = mujoco.MjData(env.physics.model)
    met_contact = False
    for before, action, timestep in zip(states[:-1], actions, timesteps, strict=True):
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = before.qpos, before.qvel, before.warmstart
        data.ctrl[:] = action
        mujoco.mj_step(env.physics.model, data, 5)
        mujoco.mj_rnePostConstraint(env.physics.model, data)
        extra = np.concatenate([getattr(data, field).ravel() for field in fields])
        expected = np.concatenate([data.qpos[skipped:], data.qvel, np.clip(extra, -clip, clip)])
        np.testing.assert_allclose(timestep.obs, expected, rtol=1e-4, atol=1e-4)
        met_contact |= data.ncon > 0 and bool(data.cfrc_ext.any())
    assert met_contact


def test_batch_of_tasks_and_environments():
    """[N, E]: every entry is what it is alone."""
    env = make("cheetah-dir", physics="mujoco")
    tasks = jnp.array([-1.0, 1.0, 1.0])
    keys = jax.random.split(jax.random.key(0), (3, 4))
    states, _ = jax.vmap(jax.vmap(env.reset, (0, None)))(keys, tasks)
    actions = jax.random.uniform(jax.random.key(1), (3, 4, 6), minval=-1.0)
    _, batch = jax.jit(jax.vmap(jax.vmap(env.step, (0, 0, None))))(states, actions, tasks)
    for n, e in np.ndindex(3, 4):
        _, alone = env.step(jax.tree.map(lambda x, i=(n, e): x[i], states), actions[n, e], tasks[n])
        np.testing.assert_allclose(batch.obs[n, e], alone.obs, rtol=1e-6)
        np.testing.assert_allclose(batch.reward[n, e], alone.reward, rtol=1e-6, atol=1e-6)
