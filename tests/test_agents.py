"""Agents: they play as the run that they are made of, are refused where they were touched, and do what their cards say."""

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import cli, evaluation, make_algorithm, presets
from metarl_jax.algorithms import ALGORITHMS
from metarl_jax.config import to_json
from metarl_jax.errors import ConfigError
from metarl_jax.runs import agents, origin

MB = 2**20
SHIPPED = agents.shipped()


def noise(state):
    """A state of random numbers, so that whatever an agent lacks shows."""
    leaves, treedef = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    made = [
        jax.random.uniform(k, x.shape, x.dtype, 0.1, 1.0) if jnp.issubdtype(x.dtype, jnp.floating) else x
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(treedef, made)


def make_card(config, **changes):
    card = {"name": "noise", "task": config.env, "algorithm": config.algorithm.name, "seed": 0, "iteration": 0}
    card |= {"env_steps": 1, "command": None, "commit": None, "figures": {}, "sha256": ""}
    return card | {"config": json.loads(to_json(config))} | changes


@pytest.fixture(scope="module")
def small():
    """A small agent's parts: its configuration, card and arrays."""
    config = presets.PRESETS["nav-maml"].config
    return config, make_card(config), {".step": np.int32(3), ".params['a']": np.arange(6, dtype=np.float32)}


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("maml-ppo", "opt_state"), ("rl2", "value"), ("pearl", "critic"), ("sac", "critic")],
)
def test_an_agent_plays_as_its_run(tmp_path, make_point, tiny_algorithms, policy_for, name, left_out):
    """Bit for bit, without what only training needs, of which an agent's state has nothing."""
    env, algorithm_config = make_point(), tiny_algorithms[name]
    if name == "maml-ppo":
        inner = dataclasses.replace(algorithm_config.inner, learn_lr=True)
        algorithm_config = dataclasses.replace(algorithm_config, inner=inner)
    policy = dataclasses.replace(policy_for(name), normalize_obs=True)
    algorithm = make_algorithm(algorithm_config, env, policy, 5)
    state = noise(algorithm.init(jax.random.key(0)))
    config = dataclasses.replace(presets.PRESETS["nav-maml"].config, algorithm=algorithm_config, policy=policy)

    arrays = agents.arrays_to_act(algorithm, env, state)
    agents.write(tmp_path / "noise", make_card(config), arrays)
    agent = agents.read(tmp_path / "noise")
    restored = agents.restore(agent, jax.eval_shape(algorithm.init, jax.random.key(0)))

    assert not [x for x in agent.arrays if left_out in x or "kept" in x or "opt_state" in x]
    assert len(jax.tree.leaves(restored)) == len(arrays) < len(jax.tree.leaves(state))
    assert agent.config == config

    @jax.jit
    def judge(state, key):
        return evaluation.adaptation_curve(algorithm, env, state, key, (3, 2), 2)

    own, its = (judge(x, jax.random.key(1)) for x in (state, restored))
    np.testing.assert_array_equal(own.returns, its.returns)
    assert np.ptp(np.asarray(own.returns)) > 0.0


def test_the_files_are_as_documented(tmp_path, small):
    """A zip of NumPy's arrays and JSON, the same for the same agent, whose digest anybody can work out."""
    _, card, arrays = small
    for name in ("one", "two"):
        size = agents.write(tmp_path / name, card, arrays)
    one, two = tmp_path / "one", tmp_path / "two"
    assert {p.name for p in one.iterdir()} == {"card.json", "parameters.npz"}
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in ("card.json", "parameters.npz"))
    assert size == sum(p.stat().st_size for p in one.iterdir())
    told = json.loads((one / "card.json").read_text())
    digest = told.pop("sha256")
    content = json.dumps(told, sort_keys=True).encode() + (one / "parameters.npz").read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()
    with np.load(one / "parameters.npz") as file:
        np.testing.assert_array_equal(file[".params['a']"], np.arange(6))
        assert file[".params['a']"].dtype == np.float32


def flip_a_bit(agent):
    content = bytearray((agent / "parameters.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (agent / "parameters.npz").write_bytes(content)


def change_a_figure(agent):
    path = agent / "card.json"
    path.write_text(path.read_text().replace('"env_steps": 1,', '"env_steps": 2,'))


def lose_the_parameters(agent):
    (agent / "parameters.npz").unlink()


def cut_the_card(agent):
    path = agent / "card.json"
    path.write_text(path.read_text()[:-40])


@pytest.mark.parametrize("spoil", [flip_a_bit, change_a_figure, lose_the_parameters, cut_the_card])
def test_what_was_touched_is_refused(tmp_path, capfd, small, spoil):
    agents.write(tmp_path / "agent", *small[1:])
    agents.read(tmp_path / "agent")
    spoil(tmp_path / "agent")
    assert cli.main(["evaluate", str(tmp_path / "agent"), "--out", str(tmp_path)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and str(tmp_path / "agent") in err


class Bomb:
    """Makes a directory where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def test_nothing_is_unpickled(tmp_path, small):
    """Though the digest is right, which whoever made the file can see to."""
    _, card, _ = small
    agents.write(tmp_path / "agent", *small[1:])
    entry, file = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(entry, np.array([Bomb(tmp_path / "exploded")], object), allow_pickle=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", entry.getvalue())
    (tmp_path / "agent" / "parameters.npz").write_bytes(file.getvalue())
    text = json.dumps(card | {"sha256": agents.digest(card, file.getvalue())})
    (tmp_path / "agent" / "card.json").write_text(text)
    with pytest.raises(ConfigError, match="plain arrays"):
        agents.read(tmp_path / "agent")
    assert not (tmp_path / "exploded").exists()


def test_a_card_of_before_a_field_came(tmp_path, small):
    config, card, arrays = small
    old = json.loads(json.dumps(card))
    del old["config"]["policy"]["network"], old["config"]["algorithm"]["inner"]["gamma"]
    old["config"]["algorithm"]["inner"]["lr"] = 0.25
    agents.write(tmp_path / "old", old, arrays)
    inner = dataclasses.replace(config.algorithm.inner, lr=0.25, gamma=ALGORITHMS["maml-ppo"].config.inner.gamma)
    assert agents.read(tmp_path / "old").config.algorithm.inner == inner
    old["config"]["policy"]["colour"] = "blue"
    agents.write(tmp_path / "later", old, arrays)
    with pytest.raises(ConfigError, match="colour"):
        agents.read(tmp_path / "later")
    old["config"]["version"] = "0.1"
    agents.write(tmp_path / "other", old, arrays)
    with pytest.raises(ConfigError, match=r"0\.1"):
        agents.read(tmp_path / "other")


def test_arrays_of_another_shape_are_named(tmp_path, make_point, tiny_algorithms, policy_for, small):
    config, card, _ = small
    algorithm = make_algorithm(tiny_algorithms["ppo"], make_point(), policy_for("ppo"), 5)
    like = jax.eval_shape(algorithm.init, jax.random.key(0))
    agent = agents.Agent(card, config, {".step": np.zeros((), int), ".lr_scale": np.zeros(3)}, 0)
    with pytest.raises(ConfigError, match=r"\.lr_scale is \(3,\) in it and \(\) here"):
        agents.restore(agent, like)


# The commands.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on the point."""
    directory = tmp_path_factory.mktemp("agents") / "run"
    words = ["train", "nav-fomaml", "--policy.network.hidden", "8", "--iterations", "1", "--horizon", "6"]
    words += ["--algorithm.num-tasks", "2", "--algorithm.envs-per-task", "2", "--evaluation.tasks", "3"]
    assert cli.main([*words, "--evaluation.episodes", "2", "--run-dir", str(directory)]) == 0
    return directory


def test_a_run_as_an_agent(run, tmp_path, monkeypatch, capfd):
    """Its card says what the run says, and it is evaluated as the run is."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", str(run), "--name", "mine"]) == 0
    assert "return" in capfd.readouterr().out
    assert cli.main(["agents", "mine"]) == 0
    card = json.loads(capfd.readouterr().out)
    summary = json.loads((run / "summary.json").read_text())
    assert card["figures"]["return"]["iqm"][-1] == summary["return_after"]["iqm"]
    assert card["figures"]["return"]["interval"][-1] == summary["return_after"]["interval"]
    assert (card["env_steps"], card["iteration"], card["seed"]) == (summary["env_steps"], 1, 0)
    assert card["command"].startswith("metarl train nav-fomaml") and "--policy.network.hidden 8" in card["command"]
    assert cli.main(["evaluate", "mine"]) == 0
    curves = [json.loads((d / "eval" / "iteration-1.json").read_text()) for d in (run, Path("mine"))]
    assert curves[0] == curves[1]
    for argv, words in (
        (["export", str(run), "--name", "mine"], "exists"),
        (["export", str(run), "--name", "a/b"], "--name"),
        (["evaluate", "mine", "--checkpoint", "best"], "leave --checkpoint out"),
        (["agents", str(run)], "is no agent"),
    ):
        capfd.readouterr()
        assert cli.main(argv) == 2 and words in capfd.readouterr().err


def test_an_agent_needs_its_figures(run, copied, capfd):
    copy = copied(run)
    shutil.rmtree(copy / "eval")
    assert cli.main(["export", str(copy), "--out", "agents"]) == 2
    assert "metarl evaluate" in capfd.readouterr().err and not Path("agents").exists()


def test_the_command_that_trains_such_a_run():
    """Read again, it gives the configuration."""
    from metarl_jax.cli.train import parse_train

    for preset, algorithm in (("nav-maml", "maml-ppo"), ("nav-maml", "reptile"), ("mt10-sac", "sac")):
        config = presets.PRESETS[preset].config
        if config.algorithm.name != algorithm:
            config = dataclasses.replace(config, algorithm=ALGORITHMS[algorithm].config)
        network = dataclasses.replace(config.policy.network, hidden=(8, 16))
        config = dataclasses.replace(config, seed=3, policy=dataclasses.replace(config.policy, network=network))
        config = dataclasses.replace(
            config, policy=dataclasses.replace(config.policy, normalize_obs=not config.policy.normalize_obs)
        )
        assert parse_train(origin.command(config).split()[2:]).config == config
    assert origin.command(dataclasses.replace(config, preset="of-my-own")) is None


# What is shipped.


def test_shipped_agents_are_small_and_whole():
    found = {name: agents.read(path) for name, path in SHIPPED.items()}
    assert found and all(agent.size <= MB for agent in found.values())
    assert sum(agent.size for agent in found.values()) <= 10 * MB
    for name, agent in found.items():
        assert agent.card["name"] == name and agent.card["commit"] and agent.card["command"]
        assert {x.dtype for x in agent.arrays.values()} <= {np.dtype(np.float32), np.dtype(np.int32)}
        assert agent.card["figures"]["return"]["interval"][-1] is not None


def test_shipped_agents_by_name(tmp_path, monkeypatch, capfd):
    """They are found from anywhere, and nothing is written into the package."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["agents"]) == 0
    out = capfd.readouterr().out
    assert all(name in out for name in SHIPPED)
    before = {p: p.stat().st_mtime_ns for p in agents.SHIPPED.rglob("*")}
    assert cli.main(["evaluate", "agent:nav-maml", "--tasks", "3", "--episodes", "2", "--horizon", "5"]) == 0
    assert {p.name for p in (tmp_path / "agent-nav-maml").iterdir()} == {"eval", "plots"}
    assert {p: p.stat().st_mtime_ns for p in agents.SHIPPED.rglob("*")} == before
    capfd.readouterr()
    assert cli.main(["evaluate", "agent:nav-mam"]) == 2
    assert "did you mean 'nav-maml'" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_agent_does_what_its_card_says(name, tmp_path):
    """Fresh episodes of the card's tasks, fewer of many: within the card's interval, and half its width beside it."""
    agent = agents.read(SHIPPED[name])
    config, figures = agent.config, agent.card["figures"]
    words = ["evaluate", f"agent:{name}", "--out", str(tmp_path)]
    if config.env.endswith("one-hot"):
        words += ["--tasks", "50"]
    assert cli.main(words) == 0
    (path,) = (tmp_path / "eval").glob("*.json")
    curve = json.loads(path.read_text())
    low, high = figures["return"]["mean_interval"][-1]
    assert low - (high - low) / 2 <= curve["mean"][-1] <= high + (high - low) / 2
    if "success" in figures:
        assert abs(curve["success"]["mean"][-1] - figures["success"]["mean"][-1]) < 0.1
