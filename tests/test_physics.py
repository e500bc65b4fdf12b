"""The three backends behind one interface."""

import importlib.util

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from metarl_jax.envs import physics as backends
from metarl_jax.envs.locomotion.bodies import HALF_CHEETAH
from metarl_jax.envs.physics import make_physics, resolve_backend
from metarl_jax.envs.physics import mujoco as c_backend
from metarl_jax.errors import ConfigError

needs_warp = pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="warp is not installed")

# A pendulum that swings above a mocap body, with sensors on the tip's position and velocity and on the mocap body.
PENDULUM = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <body name="target" mocap="true" pos="0.3 0 0.1"><geom size="0.02" contype="0" conaffinity="0"/></body>
    <body name="arm" pos="0 0 1">
      <joint name="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.5 0 0" size="0.03" contype="0" conaffinity="0"/>
      <site name="tip" pos="0.5 0 0"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" ctrlrange="-1 1"/></actuator>
  <sensor>
    <framepos objtype="site" objname="tip"/>
    <framelinvel objtype="site" objname="tip"/>
    <framepos objtype="body" objname="target"/>
    <framequat objtype="body" objname="target"/>
  </sensor>
</mujoco>
"""


@pytest.fixture(scope="module")
def pendulum():
    return mujoco.MjModel.from_xml_string(PENDULUM)


@pytest.fixture(scope="module")
def cheetah():
    return HALF_CHEETAH.load()


def batch_of_states(physics, num_worlds, seed=0):
    """States [B], controls [B]."""
    model = physics.model
    keys = jax.random.split(jax.random.key(seed), 3)
    qpos = model.qpos0.astype(np.float32) + 0.3 * jax.random.normal(keys[0], (num_worlds, model.nq))
    qvel = jax.random.normal(keys[1], (num_worlds, model.nv))
    ctrl = jax.random.uniform(keys[2], (num_worlds, model.nu), minval=-1.0)
    return jax.jit(jax.vmap(physics.reset, (0, 0, None)))(qpos, qvel, {}), ctrl


def fresh_sensors(model, state):
    """`mj_forward` on the state that was returned."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    if model.nmocap:
        data.mocap_pos[:], data.mocap_quat[:] = state.mocap_pos, state.mocap_quat
    mujoco.mj_forward(model, data)
    return data.sensordata


def assert_equal_trees(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("fields", [(), ("xpos", "cfrc_ext")])
def test_any_number_of_threads_gives_the_same_bits(cheetah, monkeypatch, fields):
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(c_backend, "num_threads", lambda count=count: count)
        physics = make_physics(cheetah, 5, "mujoco", fields)
        state, ctrl = batch_of_states(physics, 13)
        for _ in range(10):
            state = jax.vmap(physics.step, (0, 0, None))(state, ctrl, {})
        results.append(jax.tree.map(np.asarray, state))
    assert_equal_trees(results[0], results[1])
    assert_equal_trees(results[0], results[2])
    assert np.abs(results[0].qpos - batch_of_states(physics, 13)[0].qpos).max() > 0.1


@pytest.mark.parametrize("fields", [(), ("xpos",)])
def test_nested_batch_equals_flat_batch_equals_one_by_one(pendulum, fields):
    physics = make_physics(pendulum, 3, "mujoco", fields)
    state, ctrl = batch_of_states(physics, 6)
    flat = jax.jit(jax.vmap(physics.step, (0, 0, None)))(state, ctrl, {})
    nest = lambda tree: jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), tree)  # noqa: E731
    nested = jax.jit(jax.vmap(jax.vmap(physics.step, (0, 0, None)), (0, 0, None)))(nest(state), nest(ctrl), {})
    assert_equal_trees(nest(flat), nested)
    for i in range(6):
        alone = physics.step(jax.tree.map(lambda x, i=i: x[i], state), ctrl[i], {})
        assert_equal_trees(jax.tree.map(lambda x, i=i: x[i], flat), alone)


@pytest.mark.parametrize("fields", [(), ("xpos",)])
def test_fields_and_fast_path_step_as_c_does(pendulum, fields):
    physics = make_physics(pendulum, 3, "mujoco", fields)
    state, ctrl = batch_of_states(physics, 4)
    after = jax.vmap(physics.step, (0, 0, None))(state, ctrl, {})
    for i in range(4):
        data = mujoco.MjData(pendulum)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos[i], state.qvel[i], ctrl[i]
        mujoco.mj_step(pendulum, data, 3)
        np.testing.assert_allclose(after.qpos[i], data.qpos, rtol=1e-6)
        np.testing.assert_allclose(after.qvel[i], data.qvel, rtol=1e-6)
        if fields:  # one substep old, as C leaves it
            np.testing.assert_allclose(after.fields["xpos"][i], data.xpos, rtol=1e-6)


@pytest.mark.parametrize(("backend", "fields"), [("mujoco", ()), ("mujoco", ("xpos",)), ("mjx", ())])
def test_sensors_are_fresh(pendulum, backend, fields):
    """They describe the returned state, after a reset and after a step."""
    physics = make_physics(pendulum, 3, backend, fields)
    state, ctrl = batch_of_states(physics, 2)
    after = jax.jit(jax.vmap(physics.step, (0, 0, None)))(state, ctrl, {})
    for tree in (state, after):
        for i in range(2):
            world = jax.tree.map(lambda x, i=i: x[i], tree)
            np.testing.assert_allclose(world.sensordata, fresh_sensors(pendulum, world), atol=2e-6)
    assert float(jnp.abs(after.sensordata[:, :3] - state.sensordata[:, :3]).min(0).max()) > 1e-3


@pytest.mark.parametrize("backend", ["mujoco", "mjx", pytest.param("warp", marks=needs_warp)])
def test_mocap_pose_is_state(pendulum, backend):
    physics = make_physics(pendulum, 3, backend)
    state = jax.jit(physics.reset)(jnp.zeros(1), jnp.zeros(1), {})
    np.testing.assert_allclose(state.mocap_pos, [[0.3, 0.0, 0.1]], rtol=1e-6)
    position, quaternion = jnp.array([[-0.4, 0.2, 0.6]]), jnp.array([[0.0, 1.0, 0.0, 0.0]])
    moved = jax.jit(physics.step)(state._replace(mocap_pos=position, mocap_quat=quaternion), jnp.zeros(1), {})
    np.testing.assert_allclose(moved.sensordata[6:9], position[0], rtol=1e-6)
    np.testing.assert_allclose(moved.sensordata[9:13], quaternion[0], atol=1e-6)
    np.testing.assert_array_equal(moved.mocap_pos, position)


@pytest.mark.parametrize("backend", ["mjx", pytest.param("warp", marks=needs_warp)])
def test_backends_agree_on_a_model_with_sensors(pendulum, backend):
    reference, other = make_physics(pendulum, 3, "mujoco"), make_physics(pendulum, 3, backend)
    state, ctrl = batch_of_states(reference, 3)
    theirs, _ = batch_of_states(other, 3)
    ours_step, their_step = (jax.jit(jax.vmap(p.step, (0, 0, None))) for p in (reference, other))
    for _ in range(20):
        state, theirs = ours_step(state, ctrl, {}), their_step(theirs, ctrl, {})
    for name in ("qpos", "qvel", "sensordata"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(state, name), atol=1e-4)


@pytest.mark.slow
@needs_warp
def test_warp_agrees_with_mjx_on_half_cheetah(cheetah):
    """In contact with the floor, over nested batches, which Warp must flatten."""
    results = []
    for backend in ("mjx", "warp"):
        physics = make_physics(cheetah, 5, backend)
        qpos = jnp.zeros((2, 2, 9)).at[..., 1].set(-0.1) + 0.01 * jnp.arange(4.0).reshape(2, 2, 1)
        ctrl = 0.3 * jnp.ones((2, 2, 6)) * jnp.array([1.0, -1.0])[:, None, None]
        step = jax.jit(jax.vmap(jax.vmap(physics.step, (0, 0, None)), (0, 0, None)))
        reset = jax.jit(jax.vmap(jax.vmap(physics.reset, (0, 0, None)), (0, 0, None)))
        state = reset(qpos, jnp.zeros((2, 2, 9)), {})
        for _ in range(5):
            state = step(state, ctrl, {})
        results.append(state)
    np.testing.assert_allclose(results[1].qpos, results[0].qpos, atol=1e-3)
    np.testing.assert_allclose(results[1].qvel, results[0].qvel, atol=1e-3)
    assert float(jnp.abs(results[0].qvel).max()) > 0.5


def stepper_with_masses(physics):
    """multiples of the masses [B] -> velocities [B, nv] after a step at control 0.5."""

    @jax.jit
    @jax.vmap
    def step(multiple):
        params = {"body_mass": physics.model.body_mass.astype(np.float32) * multiple}
        state = physics.reset(jnp.zeros(1), jnp.zeros(1), params)
        return physics.step(state, jnp.full(1, 0.5), params).qvel

    return step


@pytest.mark.parametrize("backend", ["mujoco", "mjx", pytest.param("warp", marks=needs_warp)])
def test_parameters_of_a_task(pendulum, backend):
    """Each world has its own, also after the tasks have changed and changed back."""
    step = stepper_with_masses(make_physics(pendulum, 3, backend))

    def expected(scale):
        model = mujoco.MjModel.from_xml_string(PENDULUM)
        model.body_mass[:] *= np.float32(scale)
        data = mujoco.MjData(model)
        data.ctrl[:] = 0.5
        mujoco.mj_step(model, data, 3)
        return data.qvel.copy()

    first, second = np.array([1.0, 2.0, 0.5], np.float32), np.array([3.0, 0.5, 1.0], np.float32)
    for masses in (first, second, first, first, second):
        np.testing.assert_allclose(step(masses), [expected(mass) for mass in masses], rtol=1e-5)
    assert len({float(expected(mass)[0]) for mass in (0.5, 1.0, 2.0, 3.0)}) == 4


def test_scenes_together_are_as_each_alone(pendulum, cheetah):
    """Of different sizes, with sensors or fields, one of them twice, and as runs with several seeds are vmapped."""
    pair = make_physics(pendulum, 3, "mujoco"), make_physics(cheetah, 2, "mujoco", ("xpos",))
    scenes = [pair[0], pair[1], pair[0]]
    before, ctrls = zip(*(batch_of_states(p, 6, seed) for seed, p in enumerate(scenes)), strict=True)
    nest = lambda tree: jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), tree)  # noqa: E731
    after = jax.jit(backends.together(scenes))(nest(before), nest(ctrls))
    for physics, state, ctrl, ours in zip(scenes, before, ctrls, after, strict=True):
        assert_equal_trees(ours, nest(jax.vmap(physics.step, (0, 0, None))(state, ctrl, {})))
        assert np.abs(np.asarray(ours.qpos) - nest(state.qpos)).max() > 1e-3
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), (nest(before), nest(ctrls)))
    for ours, one in zip(jax.jit(jax.vmap(backends.together(scenes)))(*twice), after, strict=True):
        assert_equal_trees(jax.tree.map(lambda x: x[1], ours), one)


def test_auto_is_c_mujoco_on_cpu(pendulum):
    assert resolve_backend("auto") == {"cpu": "mujoco", "tpu": "mjx"}.get(jax.default_backend(), "warp")
    assert isinstance(make_physics(pendulum, 1, "mujoco"), c_backend.MujocoPhysics)


def test_unknown_backend_suggests_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'mujoco'"):
        resolve_backend("mujocco")


def test_missing_warp_names_the_extra(pendulum, monkeypatch):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"metarl-jax\[warp\]"):
        make_physics(pendulum, 1, "warp")


@needs_warp
def test_warp_says_which_fields_it_has_not(pendulum):
    with pytest.raises(ConfigError, match="cfrc_ext"):
        make_physics(pendulum, 1, "warp", ("cfrc_ext",))


def test_mjx_says_what_it_cannot_simulate():
    model = mujoco.MjModel.from_xml_string(PENDULUM.replace('timestep="0.01"', 'timestep="0.01" solver="PGS"'))
    with pytest.raises(ConfigError, match="MJX"):
        make_physics(model, 1, "mjx")
