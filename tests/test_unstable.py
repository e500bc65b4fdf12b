"""Worlds whose simulation blows up: when that is, what their episodes become, and that nobody else notices."""

import dataclasses
import importlib.util
import json

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from metarl_jax import envs, rollout
from metarl_jax.algorithms import make_algorithm, online
from metarl_jax.config import EvaluationConfig, ExperimentConfig
from metarl_jax.envs.locomotion.bodies import HALF_CHEETAH, HOPPER
from metarl_jax.envs.physics import complaints, is_unstable, make_physics
from metarl_jax.envs.physics import mujoco as c_backend
from metarl_jax.errors import ConfigError
from metarl_jax.learning import returns
from metarl_jax.policies import make_policy
from metarl_jax.rollout import ActionSample
from metarl_jax.runs import judging, runlog, training
from metarl_jax.show import console
from metarl_jax.types import EnvSpec, TimeStep

warp_is_missing = importlib.util.find_spec("warp") is None
BAD = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)

# A mass on a rail: at rest of its motor it keeps its speed, and a force of the motor is far too much for it.
ROCKET = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0"/>
  <worldbody><body><joint name="rail" type="slide"/><geom size="0.1" mass="1"/></body></worldbody>
  <actuator><motor joint="rail" gear="1e14"/></actuator>
</mujoco>
"""
HORIZON, STEPS, SPEED, DT = 6, 14, 1.0, 0.02
FUSES = np.array(
    [[3, 99], [99, 1]]
)  # steps after which the motor of a world is switched on, of each episode; 99: never


class Rocket:
    """Flies along at 1 m/s; the reward is the speed. What blows up also claims to have landed."""

    tasks, spec = None, EnvSpec("rocket", 2, 1, HORIZON, (-np.inf,), (np.inf,))

    def __init__(self, backend, fields):
        self.physics = make_physics(mujoco.MjModel.from_xml_string(ROCKET), 2, backend, fields)

    def reset(self, key, task):
        state = self.physics.reset(jnp.zeros(1), jnp.full(1, SPEED), {})
        return state, TimeStep(jnp.concatenate([state.qpos, state.qvel]), jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        after = self.physics.step(state, action, {})
        obs, landed = jnp.concatenate([after.qpos, after.qvel]), ~(jnp.abs(after.qpos[0]) < 1e3)
        return after, TimeStep(obs, after.qvel[0], landed, unstable=is_unstable(self.physics.model, state, after))


def ignite(obs, history, key):
    """Switches on the motors whose time has come, which the position tells."""
    on = (obs[..., :1] > DT * (FUSES[..., None] - 0.5)).astype(obs.dtype)
    return (), ActionSample(on, on, (), jnp.zeros(obs.shape[:2]))


@pytest.mark.parametrize(
    ("backend", "fields"),
    [
        ("mujoco", ()),
        ("mujoco", ("xpos",)),
        pytest.param("mjx", (), marks=pytest.mark.slow),
        pytest.param("warp", (), marks=pytest.mark.skipif(warp_is_missing, reason="warp is not installed")),
    ],
)
def test_episodes_are_cut_off_where_worlds_blow_up(backend, fields, tmp_path, monkeypatch, capfd):
    """On all backends alike: what happened until then, a step in which nothing happens, and a fresh episode."""
    monkeypatch.chdir(tmp_path)
    env, key = Rocket(backend, fields), jax.random.key(0)
    tasks = jnp.zeros(2)

    @jax.jit
    def run(key):
        return rollout.collect(env, ignite, tasks, rollout.start(env, tasks, key, (2, 2)), key, STEPS)

    end, t = jax.tree.map(np.asarray, run(key))
    lengths = np.minimum(FUSES + 1, HORIZON)
    time = np.arange(STEPS) % lengths[..., None]
    bad = time == FUSES[..., None]
    np.testing.assert_array_equal(t.unstable_t, bad)
    np.testing.assert_array_equal(t.time_tm1, time)
    np.testing.assert_array_equal(t.last_t, time == lengths[..., None] - 1)
    assert not t.terminated_t.any()
    np.testing.assert_allclose(t.reward_t, np.where(bad, 0.0, SPEED), rtol=1e-5)
    np.testing.assert_allclose(t.return_t, SPEED * (time + ~bad), rtol=1e-5)
    np.testing.assert_allclose(t.obs_tm1[..., 0], DT * SPEED * time, atol=1e-5)
    np.testing.assert_allclose(t.obs_t[..., 0], DT * SPEED * (time + ~bad), atol=1e-5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((end, t)) if x.dtype.kind == "f")
    assert rollout.unstable_worlds(t) == 2 and rollout.unstable_worlds(jax.tree.map(lambda x: x[1:, :1], t)) == 0
    assert not list(tmp_path.iterdir()) and "unstable" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", ["cheetah-dir", "metaworld/reach-v3"])
def test_environments_say_so(name, tmp_path, monkeypatch):
    """One of two worlds is spoiled: its episode ends with the first step, that of the other is as it would have been."""
    monkeypatch.chdir(tmp_path)
    env, key = envs.make(name, physics="mujoco"), jax.random.key(0)
    tasks = rollout.sample_tasks(env, key, 1)

    def act(obs, history, key):
        still = jnp.zeros((*obs.shape[:2], env.spec.action_dim))
        return (), ActionSample(still, still, (), still[..., 0])

    def spoil(state):
        def physics(p):
            return p._replace(qvel=p.qvel.at[0, 0, 2].set(1e12))

        inner = state.env_state
        inner = inner._replace(physics=physics(inner.physics)) if hasattr(inner, "physics") else physics(inner)
        return state._replace(env_state=inner)

    start = jax.jit(lambda key: rollout.start(env, tasks, key, (1, 2)))(key)
    go = jax.jit(lambda state: rollout.collect(env, act, tasks, state, key, 2))
    (_, plain), (end, spoiled) = (jax.tree.map(np.asarray, go(state)) for state in (start, spoil(start)))
    assert not plain.unstable_t.any() and not plain.last_t.any()
    for flag in (spoiled.unstable_t, spoiled.last_t):
        np.testing.assert_array_equal(flag, [[[True, False], [False, False]]])
    assert spoiled.reward_t[0, 0, 0] == 0.0 and spoiled.time_tm1[0].tolist() == [[0, 0], [0, 1]]
    np.testing.assert_array_equal(spoiled.obs_t[0, 0, 0], spoiled.obs_tm1[0, 0, 0])
    np.testing.assert_array_equal(spoiled.obs_t[0, 1], plain.obs_t[0, 1])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((end, spoiled)) if x.dtype.kind == "f")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("body", "fields"), [(HALF_CHEETAH, ()), (HOPPER, ("xpos",))])
def test_the_rule_is_mujocos_own(body, fields):
    """Starts at speeds from 1 to 1e14: unstable is what `mj_step`, which then begins anew, warns of."""
    model, rng, count = body.load(), np.random.default_rng(0), 200
    physics = make_physics(model, body.substeps, "mujoco", fields)
    qvel = rng.normal(size=(count, model.nv)) * 10.0 ** rng.uniform(0.0, 14.0, (count, 1))
    qvel[:3, 2] = np.nan, np.inf, -np.inf
    qvel = qvel.astype(np.float32)
    qpos = np.tile(model.qpos0, (count, 1)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def step(qpos, qvel):
        before = physics.reset(qpos, qvel, {})
        return is_unstable(model, before, physics.step(before, jnp.zeros(model.nu), {}))

    def warns(qpos, qvel):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = qpos, qvel
        warned = False
        for _ in range(body.substeps):
            mujoco.mj_step(model, data)
            warned |= any(data.warning[kind].number for kind in BAD)  # which a reset forgets
        return warned

    ours = np.asarray(step(qpos, qvel))
    mujoco.set_mju_user_warning(lambda words: None)
    theirs = np.array([warns(*start) for start in zip(qpos, qvel, strict=True)])
    mujoco.set_mju_user_warning(None)
    # Near the bound a velocity can change by less than its acceleration says, by damping, or in the last substep by more.
    assert (ours != theirs).sum() <= 4 and 40 < theirs.sum() < 160 and ours[:3].all()


@pytest.mark.parametrize("fields", [(), ("xpos",)])
def test_worlds_beside_one_that_blows_up(fields, monkeypatch):
    """They are stepped by the same thread, in the same memory, and do what they do without it, bit for bit."""
    monkeypatch.setattr(c_backend, "num_threads", lambda: 1)
    physics = make_physics(HALF_CHEETAH.load(), 5, "mujoco", fields)
    model, rng = physics.model, np.random.default_rng(0)
    start = np.zeros((6, model.nq + 2 * model.nv + model.nu), np.float32)
    start[:, : model.nq] = 0.1 * rng.normal(size=(6, model.nq))
    spoiled = start.copy()
    spoiled[::2, model.nq] = 1e12, np.nan, np.inf
    alone, beside = (physics._host(x, {}, 5) for x in (start, spoiled))
    np.testing.assert_array_equal(alone[1::2], beside[1::2])
    assert not np.isfinite(beside[::2]).all() and np.isfinite(alone).all()


SPHERES = "".join(f'<body><freejoint/><geom size="0.05" pos="0 0 {0.2 * i}"/></body>' for i in range(20))
CROWD = f'<mujoco><size memory="20K"/><worldbody><geom type="plane" size="1 1 1"/>{SPHERES}</worldbody></mujoco>'


def test_a_world_in_which_mujoco_raises():
    """Spheres in one heap are more than the model's memory holds: that world alone is lost, counted and told."""
    physics = make_physics(mujoco.MjModel.from_xml_string(CROWD), 2, "mujoco")
    apart = np.tile([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], 20).reshape(20, 7)
    apart[:, 0] = np.arange(20)
    heap = apart.copy()
    heap[:, 0], heap[:, 2] = 0.0, 0.02 - 0.2 * np.arange(20)
    complaints()
    reset = jax.vmap(lambda qpos: physics.reset(qpos, jnp.zeros(120), {}))
    before = reset(jnp.asarray(np.stack([apart, heap, apart]).reshape(3, -1), jnp.float32))
    after = jax.vmap(lambda state: physics.step(state, jnp.zeros(0), {}))(before)
    alone = physics.step(jax.tree.map(lambda x: x[0], before), jnp.zeros(0), {})
    for world in (0, 2):
        np.testing.assert_array_equal(after.qpos[world], alone.qpos)
    unstable = jax.vmap(lambda b, a: is_unstable(physics.model, b, a))(before, after)
    np.testing.assert_array_equal(unstable, [False, True, False])
    assert any("MuJoCo raised in 1 of 3 simulations" in words for words in complaints())


def test_a_state_that_is_not_kept_is_refused():
    with pytest.raises(ConfigError, match="user data"):
        make_physics(mujoco.MjModel.from_xml_string('<mujoco><size nuserdata="2"/></mujoco>'), 1, "mujoco")


def test_other_warnings_are_told(tmp_path, monkeypatch, capfd):
    """A control that is not a number: MuJoCo warns of it, and we pass it on."""
    monkeypatch.chdir(tmp_path)
    complaints()
    heard = mujoco.get_mju_user_warning()
    physics = make_physics(mujoco.MjModel.from_xml_string(ROCKET), 2, "mujoco")
    state = physics.reset(jnp.zeros(1), jnp.ones(1), {})
    after = physics.step(state, jnp.full(1, jnp.nan), {})
    assert mujoco.get_mju_user_warning() is heard and not list(tmp_path.iterdir())
    (said,) = complaints()
    assert said.startswith("mujoco: ") and "CTRL" in said and not complaints()
    assert "CTRL" not in "".join(capfd.readouterr()) and np.isfinite(after.qpos).all()


def test_values_bootstrap_where_an_episode_is_cut_off():
    """As if the step had not been: the value of the state before it is also what follows, discounted once more."""
    rng, zeros = np.random.default_rng(0), np.zeros((5, 4), bool)
    last = np.tile([False, True, False, True], (5, 1))
    bad = zeros.copy()
    bad[2, 1] = True
    nothing = dict.fromkeys(rollout.Transition._fields)
    known = {"obs_tm1": rng.normal(size=(5, 4, 2)), "reward_t": np.where(bad, 0.0, rng.normal(size=(5, 4)))}
    known |= {"terminated_t": zeros, "last_t": last, "time_tm1": np.tile([0, 1, 0, 1], (5, 1))}
    t = rollout.Transition(**nothing | {name: jnp.asarray(x) for name, x in known.items()})
    advantages = jax.jit(lambda t: returns.baseline_advantages(t, 0.9, 0.0))
    ended, cut = (
        advantages(t._replace(unstable_t=jnp.asarray(zeros))),
        advantages(t._replace(unstable_t=jnp.asarray(bad))),
    )
    np.testing.assert_array_equal(ended, advantages(t))
    value = -ended[2, 1]  # the reward is 0, and nothing follows
    np.testing.assert_allclose(cut[2, 1], 0.9 * value - value, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(cut)[~bad], np.asarray(ended)[~bad])


@pytest.fixture
def make_mine(make_point):
    """The tiny environment with a mine to the right: whoever comes there is nowhere."""

    class Mine(make_point):
        def step(self, state, action, task):
            state, timestep = super().step(state, action, task)
            hit = state.position[0] > 0.4
            state, timestep = jax.tree.map(
                lambda x: jnp.where(hit, jnp.nan, x), (state, timestep._replace(terminated=()))
            )
            return state, timestep._replace(terminated=hit, unstable=hit)

    return Mine


def hits_of(collect, hits):
    """`collect`, which also notes in how many worlds the last observation before nothing happened is that after it."""

    def counting(*args):
        state, t = collect(*args)
        still = (t.obs_t == t.obs_tm1).all(axis=-1).any(axis=-1).sum()
        jax.debug.callback(lambda count: hits.append(int(count)), still)
        return state, t

    return counting


def test_an_iteration_with_worlds_that_blow_up(make_mine, tiny_algorithms, tiny_policy, monkeypatch):
    """They are counted, and neither parameters nor statistics hear of what is not a number."""
    env, policy, hits = make_mine(), dataclasses.replace(tiny_policy, normalize_obs=True), []
    monkeypatch.setattr(rollout, "collect", hits_of(rollout.collect, hits))
    algorithm = make_algorithm(tiny_algorithms["ppo"], env, policy, 1)
    state, metrics = jax.jit(lambda key: algorithm.iterate(algorithm.init(key), key))(jax.random.key(0))
    assert metrics["unstable_worlds"] == sum(hits) > 0
    assert all(
        np.isfinite(x).all() for x in jax.tree.leaves((state.params, state.obs_stats, state.kept.by_task.rollout))
    )


def test_learning_on_where_worlds_blow_up(make_mine, tiny_algorithms, tiny_policy, monkeypatch, capsys):
    """Those of all episodes are counted: learnt from, and of both policies that are compared."""
    env, hits = make_mine(), []
    algorithm, policy = make_algorithm(tiny_algorithms["ppo"], env, tiny_policy, 1), make_policy(tiny_policy, env.spec)
    config = online.OnlineConfig(episodes=3, replay=2, steps=1, ensemble=2)
    play = online.play_episodes
    noting = hits_of(lambda *args: play(*args)[::-1], hits)
    monkeypatch.setattr(online, "play_episodes", lambda *args: noting(*args)[::-1])

    @jax.jit
    def compare(key):
        return online.compare(config, online.Subject(algorithm, policy, env), algorithm.init(key), key, (4, 5), 0)

    report = online.report(config, compare(jax.random.key(0)))
    jax.effects_barrier()
    assert sum(report["unstable_worlds"].values()) == sum(hits) > 0 and len(hits) == 1 + 3 + 2
    (note,) = report["notes"]
    assert note.startswith(f"the simulation of {sum(hits)} of {4 * (2 + 3) + 2 * 20} worlds blew up")
    console.print_online(report | {"env": "mine", "tasks": 4})
    assert note in capsys.readouterr().out.replace("\n", " ")


def test_a_warning_is_said_once(capfd):
    watch = training._watch_worlds()
    for counts in ((0, None), (2, 0), (7, 1)):
        watch(
            [{"iteration": 4 + i} | ({} if n is None else {"unstable_worlds": float(n)}) for i, n in enumerate(counts)]
        )
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith("warning: the simulation of 2 worlds blew up in iteration 4: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "maml-ppo", "rl2"])
def test_a_run_with_worlds_that_blow_up(make_mine, tiny_algorithms, policy_for, tmp_path, capfd, monkeypatch, name):
    """Its metrics, its evaluation and the warning."""
    policy = dataclasses.replace(policy_for(name), normalize_obs=True)
    judged = EvaluationConfig(tasks=4, episodes=4, steps=0)
    config = ExperimentConfig("tiny", "mine", tiny_algorithms[name], 3, policy=policy, evaluation=judged)
    env, hits = make_mine(), []
    monkeypatch.setattr(rollout, "collect", hits_of(rollout.collect, hits))
    algorithm = make_algorithm(config.algorithm, env, policy, 3)
    with runlog.RunLog.create(tmp_path / "run", config) as log:
        judge = judging.make_judge(config, algorithm, env, env)
        summary = training.train([training.Run(config, log)], algorithm, judge, lambda row: None)[0]
    rows, (*of_training, of_evaluation) = runlog.read_metrics(tmp_path / "run"), hits
    assert all(np.isfinite(value) for row in rows for value in row.values())
    told = [row["unstable_worlds"] for row in rows]
    assert told == np.reshape(of_training, (3, -1)).sum(axis=1).tolist() and sum(told) > 0
    assert capfd.readouterr().err.count("warning: the simulation of") == 1
    curve = json.loads((tmp_path / "run" / "eval" / "iteration-3.json").read_text())
    assert curve["unstable_worlds"] == [of_evaluation] and np.isfinite(curve["returns"]).all()
    noted = f"the simulation of {of_evaluation} of 16 worlds blew up" in "".join(summary["notes"])
    assert noted == (of_evaluation > 0)
