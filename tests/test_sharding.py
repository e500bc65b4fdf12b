"""Tasks and seeds split over devices and processes: the numbers are those of one device."""

import json
import resource
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from metarl_jax import cli, sharding
from metarl_jax.algorithms import make_algorithm
from metarl_jax.errors import ConfigError
from metarl_jax.runs.checkpoint import Checkpoints
from metarl_jax.types import Kept, RunState, Suite

TINY = ["--iterations", "3", "--horizon", "6", "--algorithm.num-tasks", "4", "--algorithm.envs-per-task", "2"]
TINY += ["--evaluation.tasks", "4", "--evaluation.episodes", "2"]
RUNS = {
    "maml": ["nav-maml", *TINY, "--algorithm.optimizer.lr-schedule", "constant"],
    "reptile": ["nav-reptile", *TINY],
    "rl2": ["nav-sparse-rl2-s5", *TINY, "--algorithm.chunk", "6", "--policy.memory.width", "8"],
    # On C MuJoCo; few steps, before contacts make much of rounding.
    "ppo": [
        "mt10-ppo",
        "--env",
        "cheetah-dir",
        "--iterations",
        "3",
        "--algorithm.num-tasks",
        "4",
        "--algorithm.unroll",
        "4",
    ],
}
RUNS["rl2"] += ["--algorithm.update.minibatches", "2"]  # of four trials, one of each device
RUNS["ppo"] += ["--evaluation.tasks", "4", "--algorithm.update.minibatches", "4"]


def metarl(*argv):
    """A process of its own: how many devices there are is settled before anything else."""
    words = [sys.executable, "-m", "metarl_jax.cli", *map(str, argv)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, code=0, timeout=240):
    out, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, out
    return out


def saved(run):
    """The step and the parameters in the newest checkpoint, by name."""
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with ocp.CheckpointManager(
        run / "checkpoints" / "latest", item_handlers=ocp.StandardCheckpointHandler()
    ) as manager:
        step = manager.latest_step()
        there = manager.item_metadata(step).items()
        like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here) for name, x in there}
        values = manager.restore(step, args=ocp.args.StandardRestore(like))
    return {name: np.asarray(x) for name, x in values.items() if name.startswith((".params", ".step"))}


def assert_same(run, other):
    ours, theirs = saved(run), saved(other)
    assert ours.keys() == theirs.keys() and any("params" in name for name in ours) and ours[".step"] >= 3
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """Name -> a run on one device."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "run"
            assert cli.main(["train", *RUNS[name], "--run-dir", str(made[name])]) == 0
        return made[name]

    return make


@pytest.mark.parametrize(
    "name", ["maml", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ppo", "reptile", "rl2"))]
)
def test_four_devices_are_one(one_device, tmp_path, name):
    finish(metarl("train", *RUNS[name], "--devices", 4, "--run-dir", tmp_path / "run"))
    assert_same(tmp_path / "run", one_device(name))


# An iteration over two devices: its collective operations, and what they must be at least, bytes.
COLLECTIVES = """
import dataclasses, json, sys
import jax
from metarl_jax import sharding
from metarl_jax.algorithms import make_algorithm
from metarl_jax.benchmarks import hlo
from metarl_jax.envs import make
from metarl_jax.networks import NetworkConfig
from metarl_jax.presets import PRESETS
from metarl_jax.runs import window

sharding.use_parts_of_cpu(2)
preset, sizes = sys.argv[1], json.loads(sys.argv[2])
config = PRESETS[preset].config
update = dataclasses.replace(config.algorithm.update, epochs=3, minibatches=2)
learner = dataclasses.replace(config.algorithm, num_tasks=8, envs_per_task=4, update=update, **sizes)
memory = dataclasses.replace(config.policy.memory, width=8, state=4)
policy = dataclasses.replace(config.policy, network=NetworkConfig(hidden=(8,)), memory=memory)
algorithm = make_algorithm(learner, make("point", horizon=8), policy, 1)
keys = jax.tree.map(lambda key: key[None], window.run_keys(0))
begun = window.begin(algorithm, keys, 1, sharding.make_mesh(2))
gradients = 6 * sum(x.nbytes for x in jax.tree.leaves(begun.states.params))
print(json.dumps([gradients, hlo.collectives(begun.compiled.as_text())]))
"""


@pytest.mark.parametrize(
    ("preset", "sizes"),
    [
        ("nav-sparse-rl2-s5", {"chunk": 4}),
        pytest.param("nav-maml", {"task_chunks": 2}, marks=pytest.mark.slow),
        pytest.param("mt10-ppo", {"unroll": 8}, marks=pytest.mark.slow),
    ],
)
def test_devices_exchange_gradients_and_little_else(preset, sizes):
    """Nothing of the size of a batch (2 kB of actions alone): each takes minibatches and chunks from its own rows."""
    process = [sys.executable, "-c", COLLECTIVES, preset, json.dumps(sizes)]
    said = subprocess.run(process, capture_output=True, text=True, check=True).stdout
    gradients, collectives = json.loads(said.splitlines()[-1])
    assert {kind for kind, _, _ in collectives} == {"all-reduce"}
    assert gradients < sum(sum(sizes) * times for _, sizes, times in collectives) < gradients + 1000


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(one_device, tmp_path):
    """Two devices to the second iteration, one to the third."""
    argv = [*RUNS["maml"], "--run-dir", tmp_path / "run", "--devices", 2]
    argv[argv.index("--iterations") + 1] = "2"
    finish(metarl("train", *argv))
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--iterations", "3"]) == 0
    assert_same(tmp_path / "run", one_device("maml"))


def processes(run, argv, devices=1):
    """Two of them, which find each other on a free port."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        coordinator = f"localhost:{probe.getsockname()[1]}"
    common = [*argv, "--run-dir", run, "--devices", devices, "--coordinator", coordinator, "--processes", 2]
    return [metarl("train", *common, "--process-id", index) for index in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maml", "ppo"])
def test_two_processes_are_one(one_device, tmp_path, name):
    first, second = processes(tmp_path / "run", RUNS[name])
    said = finish(first)
    assert "environment steps in" in said and "environment steps in" not in finish(second)  # the first alone shows
    assert_same(tmp_path / "run", one_device(name))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_with_a_message(tmp_path, victim):
    run, argv = tmp_path / "run", [*RUNS["reptile"], "--checkpoint-every", "2"]
    argv[argv.index("--iterations") + 1] = "100000"
    both = processes(run, argv)
    deadline = time.time() + 200
    while not (run / "checkpoints" / "latest" / "4").exists():
        assert time.time() < deadline and all(p.poll() is None for p in both), [p.communicate()[0] for p in both]
        time.sleep(0.1)
    both[victim].send_signal(signal.SIGKILL)
    both[victim].communicate()
    said = finish(both[1 - victim], code=1, timeout=sharding.TIMEOUT + 30)
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert "another process of this run has ended" in line and "--resume" in line
    done = max(int(p.name) for p in (run / "checkpoints" / "latest").iterdir() if p.name.isdigit())
    assert cli.main(["train", "--resume", str(run), "--iterations", str(done + 2)]) == 0


@pytest.mark.slow
def test_a_process_that_cannot_write_ends_both(tmp_path):
    """The system refuses the first process files beyond 5 kB: it says so, and the other does not wait for it."""
    argv = [*RUNS["reptile"], "--checkpoint-every", "2"]
    argv[argv.index("--iterations") + 1] = "100000"
    first, second = processes(tmp_path / "run", argv)
    resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    said = finish(first, code=2, timeout=sharding.TIMEOUT)
    assert "error: cannot write the run directory" in said and "Free space" in said
    assert "error: another process of this run has ended" in finish(second, code=1, timeout=sharding.TIMEOUT)


def test_a_lost_process_is_no_full_disk(tmp_path, monkeypatch):
    """All processes write a checkpoint: what orbax says of a lost one is not taken for trouble with files."""

    def save(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed: Connection closed by peer")

    monkeypatch.setattr(ocp.CheckpointManager, "save", save)
    state = RunState(jnp.zeros((), jnp.int32), jnp.ones(3), (), (), jnp.ones(()), Kept())
    checkpoints = Checkpoints(tmp_path, keep=1)
    with pytest.raises(OSError, match="could not be written"):
        checkpoints.save(state)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Gloo"):
        checkpoints.save(state)


def test_seeds_together_are_seeds_alone(one_device, tmp_path):
    """In one program, each in a directory that can be resumed by itself."""
    assert cli.main(["train", *RUNS["reptile"], "--seeds", "0..2", "--run-dir", str(tmp_path / "all")]) == 0
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["seed-0", "seed-1", "seed-2"]
    assert_same(tmp_path / "all" / "seed-0", one_device("reptile"))
    argv = ["train", *RUNS["reptile"], "--seed", "2", "--run-dir", str(tmp_path / "alone")]
    assert cli.main(argv) == 0
    assert_same(tmp_path / "all" / "seed-2", tmp_path / "alone")
    for name in ("summary.json", "metrics.jsonl"):
        together, alone = ((tmp_path / which / name).read_text() for which in ("all/seed-2", "alone"))
        together, alone = (json.loads(text.splitlines()[-1] if name[0] == "m" else text) for text in (together, alone))
        assert together.keys() == alone.keys()
    assert cli.main(["train", "--resume", str(tmp_path / "all" / "seed-2"), "--iterations", "4"]) == 0


@pytest.mark.slow
def test_seeds_split_over_devices_are_seeds_alone(one_device, tmp_path):
    """Two seeds to each of two devices."""
    argv = [*RUNS["reptile"], "--seeds", "0..3", "--devices", 2, "--run-dir", tmp_path / "all"]
    finish(metarl("train", *argv))
    assert_same(tmp_path / "all" / "seed-0", one_device("reptile"))
    assert cli.main(["train", *RUNS["reptile"], "--seed", "3", "--run-dir", str(tmp_path / "alone")]) == 0
    assert_same(tmp_path / "all" / "seed-3", tmp_path / "alone")


def test_as_many_devices_as_share_seeds_evenly():
    assert [sharding.most_even(8, devices) for devices in (1, 2, 3, 7, 8, 16)] == [1, 2, 2, 4, 8, 8]
    assert sharding.most_even(7, 4) == 1


@pytest.mark.parametrize("name", ["maml-ppo", "maml-trpo"])
def test_nothing_waits_for_a_thread_of_xla(make_point, tiny_algorithms, tiny_policy, name):
    """A batch of LAPACK calls on CPU waits for threads of the pool that also runs the devices: with as many devices as
    threads, for ever.
    """
    algorithm = make_algorithm(tiny_algorithms[name], make_point(), tiny_policy, 1)
    states = jax.eval_shape(algorithm.init, jax.random.key(0))
    program = jax.jit(algorithm.iterate).lower(states, jax.random.key(0)).as_text()
    assert "while" in program and "lapack" not in program


@pytest.mark.slow
def test_seeds_that_do_not_fit_together(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("metarl_jax.runs.memory.free_bytes", lambda: 1000)
    assert cli.main(["train", *RUNS["reptile"], "--seeds", "0", "1", "--run-dir", str(tmp_path / "all")]) == 0
    assert "GiB are free: they are trained one after the other" in capfd.readouterr().err
    assert len(list((tmp_path / "all").glob("seed-*/summary.json"))) == 2


def test_numbers_that_do_not_divide(make_point):
    mesh = jax.sharding.AbstractMesh((4,), ("task",))
    sharding.check_divides(8, mesh, make_point(), "num_tasks")
    with pytest.raises(ConfigError, match="num_tasks 10 cannot be split evenly over 4 devices: take 8 or 12"):
        sharding.check_divides(10, mesh, make_point(), "num_tasks")
    suite = Suite(make_point().spec, (make_point(),) * 3)
    with pytest.raises(ConfigError, match="4 devices x 3 environments: take 12"):
        sharding.check_divides(8, mesh, suite, "num_tasks")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--devices", "2"], "this process has 1"),
        (["--coordinator", "localhost:1"], "go together"),
        (["--coordinator", "a:1", "--processes", "2", "--process-id", "2"], "[0, 1]"),
        (["--distributed"], "same --run-dir"),
        (["--seeds", "1", "1"], "distinct"),
        (["--seeds", "0..x"], "0..7"),
        (["--seeds", "0..1", "--resume", "RUN"], "by itself"),
        (["--seeds", "0..7", "--devices", "3"], "8 runs cannot be split evenly over 3 devices: take 2 or 4"),
        (["--seeds", "0..1", "--distributed", "--run-dir", "all"], "one process"),
    ],
)
def test_bad_options(one_device, tmp_path, monkeypatch, capfd, argv, words):
    monkeypatch.chdir(tmp_path)
    preset = [] if "--resume" in argv else ["nav-maml"]
    argv = [str(one_device("reptile")) if word == "RUN" else word for word in argv]
    assert cli.main(["train", *preset, *argv]) == 2
    assert words in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
