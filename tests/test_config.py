"""A run's configuration: complete in JSON, back again, and refused where it does not fit."""

import dataclasses
import json

import pytest

from metarl_jax.algorithms import ALGORITHMS
from metarl_jax.config import EvaluationConfig, ExperimentConfig, changed_fields, from_json, to_json
from metarl_jax.errors import ConfigError, lookup
from metarl_jax.presets import DEFAULT, PRESETS


def experiment(algorithm="maml-ppo", **changes):
    return ExperimentConfig(preset="p", env="point", algorithm=ALGORITHMS[algorithm].config, iterations=3, **changes)


@pytest.mark.parametrize("name", PRESETS)
def test_round_trip_of_presets(name):
    config = PRESETS[name].config
    assert config.preset == name
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize("name", ALGORITHMS)
def test_round_trip_of_algorithms(name):
    config = experiment(name)
    back = from_json(to_json(config))
    assert back == config and type(back.algorithm) is type(config.algorithm)


def test_json_has_no_infinities():
    """`Infinity` is not JSON; the critic's unlimited `clip` must come back nevertheless."""
    text = to_json(experiment("ppo"))
    json.loads(text, parse_constant=pytest.fail)
    assert from_json(text).algorithm.critic.clip == float("inf")


def test_default_preset_exists():
    assert DEFAULT in PRESETS
    assert all(preset.summary for preset in PRESETS.values())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_field_is_in_the_json_and_named_when_changed(name, vary):
    config = experiment(name, horizon=7)
    changes = list(vary(config))
    assert len(changes) > 25
    for field, other in changes:
        assert to_json(other) != to_json(config), field
        assert from_json(to_json(other)) == other, field
        assert changed_fields(config, other) == [field]


def test_another_algorithm_is_one_changed_field():
    assert changed_fields(experiment("maml-ppo"), experiment("ppo")) == ["algorithm"]
    assert changed_fields(experiment(), experiment()) == []


def broken(change):
    data = json.loads(to_json(experiment()))
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(colour=1), "colour"),
        (lambda d: d.pop("seed"), "seed"),
        (lambda d: d["algorithm"].update(colour=1), "colour"),
        (lambda d: d["algorithm"]["inner"].pop("lr"), "lr"),
        (lambda d: d["policy"]["network"].pop("hidden"), "hidden"),
        (lambda d: d["algorithm"].update(name="maml-pp"), "did you mean 'maml-ppo'"),
        (lambda d: d["algorithm"].pop("name"), "name"),
        (lambda d: d.update(algorithm="ppo"), "configuration"),
        (lambda d: d["algorithm"]["inner"].update(lr=-1.0), "lr"),
        (lambda d: d["algorithm"]["inner"].update(lr="fast"), "lr"),
        (lambda d: d["algorithm"]["inner"].update(lr=None), "lr"),
        (lambda d: d.update(iterations="many"), "iterations"),
        (lambda d: d.update(policy=[1]), "policy"),
    ],
)
def test_json_that_does_not_fit(change, message):
    with pytest.raises(ConfigError, match=message):
        from_json(broken(change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "{}"])
def test_text_that_is_no_configuration(text):
    with pytest.raises(ConfigError):
        from_json(text)


@pytest.mark.parametrize(
    "bad",
    [
        {"iterations": 0},
        {"window": 0},
        {"checkpoint_every": 0},
        {"keep_checkpoints": 0},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_bad_values(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        dataclasses.replace(experiment(), **bad)


@pytest.mark.parametrize("bad", [{"tasks": 0}, {"episodes": 0}, {"steps": -1}])
def test_bad_evaluation(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        EvaluationConfig(**bad)


def test_lookup():
    table = {"cheetah-dir": 1, "ant-goal": 2}
    assert lookup("ant-goal", table, "environment") == 2
    with pytest.raises(ConfigError, match="unknown environment 'cheeta-dir': did you mean 'cheetah-dir'"):
        lookup("cheeta-dir", table, "environment")
    with pytest.raises(ConfigError, match="cheetah-dir"):  # nothing is near: all are named
        lookup("zzz", table, "environment")
