"""Worlds that stay with Warp: what a call gives depends on what it is given alone, however scenes are called together."""

import importlib.util

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from metarl_jax.envs import physics as backends
from metarl_jax.envs.metaworld import FAMILIES, scenes
from metarl_jax.envs.physics import capacities, complaints, make_physics, together

pytestmark = pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="warp is not installed")

# Balls that fall onto a plane; the second model hangs its ball from a weld to a mocap body.
BALLS = """
<mujoco model="{name}">
  <worldbody>
    <geom type="plane" size="5 5 1"/>
    {bodies}
  </worldbody>
  <sensor><framepos objtype="body" objname="ball"/></sensor>
</mujoco>
"""
BALL = '<body name="ball" pos="0 0 0.09"><freejoint/><geom size="0.1"/></body>'
HUNG = """
<mujoco model="hung">
  <worldbody>
    <body name="hook" mocap="true" pos="0 0 1"/>
    <body name="ball" pos="0 0 1"><freejoint/><geom size="0.1"/></body>
  </worldbody>
  <equality><weld body1="hook" body2="ball"/></equality>
  <sensor><framepos objtype="body" objname="ball"/><framelinvel objtype="body" objname="ball"/></sensor>
</mujoco>
"""


def load(xml):
    return mujoco.MjModel.from_xml_string(xml)


@pytest.fixture(scope="module")
def pair():
    models = load(BALLS.format(name="balls", bodies=BALL)), load(HUNG)
    return [make_physics(model, 3, "warp") for model in models]


def states(physics, shape, seed=0):
    """`[*shape]` worlds in motion."""
    model = physics.model
    velocity = jax.random.normal(jax.random.key(seed), (*shape, model.nv))
    reset = physics.reset
    for _ in shape:
        reset = jax.vmap(reset, (None, 0, None))
    return jax.jit(reset)(jnp.asarray(model.qpos0, float), velocity, {})


def step(physics, state, batch_dims):
    fn = lambda s: physics.step(s, jnp.zeros(physics.model.nu), {})  # noqa: E731
    for _ in range(batch_dims):
        fn = jax.vmap(fn)
    return jax.jit(fn)(state)


def assert_equal_trees(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_scenes_together_are_as_each_alone(pair):
    before = [states(physics, (2, 3)) for physics in pair]
    ctrls = [jnp.zeros((2, 3, 0))] * 2
    after = jax.jit(together(pair))(before, ctrls)
    for physics, state, ours in zip(pair, before, after, strict=True):
        assert_equal_trees(ours, step(physics, state, 2))
        assert np.abs(ours.qpos - state.qpos).max() > 1e-3
    seeds = jax.tree.map(lambda x: jnp.stack([x, x]), before)  # as runs with several seeds are vmapped
    for ours, one in zip(jax.jit(jax.vmap(together(pair)))(seeds, [jnp.zeros((2, 2, 3, 0))] * 2), after, strict=True):
        assert_equal_trees(jax.tree.map(lambda x: x[1], ours), one)


def test_two_of_one_kind_have_worlds_of_their_own(pair):
    before = [states(pair[0], (1, 2), seed) for seed in (0, 1)]
    after = jax.jit(together([pair[0], pair[0]]))(before, [jnp.zeros((1, 2, 0))] * 2)
    for state, ours in zip(before, after, strict=True):
        assert_equal_trees(ours, step(pair[0], state, 2))


def test_nothing_is_left_of_earlier_calls(pair):
    for physics in pair:
        first, other = states(physics, (4,)), states(physics, (4,), seed=1)
        alone = step(physics, first, 1)
        broken = other._replace(qvel=other.qvel.at[1].set(jnp.nan))
        for between in (other, broken):
            step(physics, between, 1)
            assert_equal_trees(step(physics, first, 1), alone)


def test_backends_that_step_one_after_the_other_say_so(pair):
    assert together([make_physics(pair[0].model, 3, "mjx")] * 2) is None
    assert together([pair[0], make_physics(pair[0].model, 3, "mujoco")]) is None


def test_what_does_not_fit_is_said_once(monkeypatch):
    complaints()
    seen = {"crowded": (21, 100)}
    monkeypatch.setattr(capacities, "_SEEN", seen)
    bodies = "".join(f'<body pos="{i} 0 0.09"><freejoint/><geom size="0.1"/></body>' for i in range(20))
    model = load(BALLS.format(name="crowded", bodies=BALL + bodies))
    roomy = make_physics(model, 1, "warp")
    step(roomy, states(roomy, (2,)), 1)
    assert not complaints()
    seen["crowded"] = (-10, 0)  # room for one contact, and for 16 rows
    tight = make_physics(model, 1, "warp")
    step(tight, states(tight, (2,)), 1)
    said = complaints()
    assert all(word in " ".join(said) for word in ("warp: crowded", "contacts", "METARL_WARP_CAPACITY"))
    assert not complaints()


def test_room_of_scenes(monkeypatch):
    known = capacities.capacity_of(load(BALLS.format(name="ant", bodies=BALL)))
    assert known == ("ant", round(1.5 * 5) + 16, 64)
    unknown = capacities.capacity_of(load(BALLS.format(name="nobody knows", bodies=BALL)))
    assert unknown.contacts == 16 and unknown.rows >= 64
    monkeypatch.setenv(capacities.OPTION, "2")
    assert capacities.capacity_of(load(BALLS.format(name="ant", bodies=BALL))) == ("ant", 48, 128)


def test_every_scene_of_metaworld_has_its_room():
    assert {family.scene.removesuffix(".xml") for family in FAMILIES.values()} <= set(capacities._SEEN)


def test_settling_within_a_program_is_settling_on_the_host():
    """By the same simulator; it begins every step without the last one's forces, hence the tolerance."""
    family = FAMILIES["door-lock-v3"]
    assert family.settles_per_task
    args = (family.scene, family.fixture, tuple(family.sensors.items()))
    scene, place = scenes.load(*args), (0.05, 0.83, 0.15)
    wanted = scenes.settle(args, family.hand_start, place, family.settle_steps)
    physics = backends.make_physics(scene.model, scenes.SUBSTEPS, "mujoco")
    settled = jax.jit(
        lambda place: scenes.settle_within(physics, scene, family.hand_start, place, family.settle_steps)
    )(jnp.array(place))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), settled, jax.tree.map(jnp.asarray, wanted))
