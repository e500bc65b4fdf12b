"""Worker processes: what they answer, and what happens when they do not."""

import contextlib
import functools
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import metaworld
import numpy as np
import pytest

from metarl_jax.benchmarks.metaworld import host
from metarl_jax.benchmarks.metaworld.workers import WorkerEnvs, WorkerError

NAMES = ["one-v3", "two-v3", "three-v3"]


@pytest.fixture
def open_stubs(stub_env):
    """Opens a stub for each name; only the second takes the `flag` of an accident."""
    with contextlib.ExitStack() as stack:

        def open_them(flag=None, makers=None, **kwargs):
            makers = makers or [functools.partial(stub_env.Stub, flag=flag if i == 1 else None) for i in range(3)]
            return stack.enter_context(contextlib.closing(WorkerEnvs(makers, NAMES[: len(makers)], **kwargs)))

        yield open_them


def pids(envs):
    return [worker._process.pid for worker in envs._workers]


def test_steps_in_the_order_of_the_environments(open_stubs):
    envs = open_stubs(num_workers=2)
    obs, _ = envs.reset()
    np.testing.assert_array_equal(obs, np.zeros((3, 2)))
    actions = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]])
    obs, reward, terminated, truncated, infos = envs.step(actions)
    np.testing.assert_array_equal(obs, actions)
    np.testing.assert_array_equal(reward, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(infos["success"], [0.0, 1.0, 1.0])
    assert not terminated.any() and not truncated.any() and "final_info" not in infos
    assert envs.get_attr("horizon") == (5, 5, 5)


def test_an_ended_episode_begins_anew_and_idle_environments_stay(open_stubs):
    envs = open_stubs(num_workers=2)
    envs.reset()
    active = np.array([True, False, True])
    for _ in range(5):
        obs, reward, _, truncated, infos = envs.step(np.ones((3, 2)), active)
    np.testing.assert_array_equal(truncated, active)
    np.testing.assert_array_equal(reward, active)
    np.testing.assert_array_equal(obs, np.zeros((3, 2)))
    np.testing.assert_array_equal(infos["final_info"]["episode"]["r"], [5.0, 0.0, 5.0])
    np.testing.assert_array_equal(infos["final_info"]["episode"]["l"], [5.0, 0.0, 5.0])
    np.testing.assert_array_equal(infos["final_info"]["success"], [1.0, 0.0, 1.0])


def test_like_the_package_vector_environment():
    """Every number that the package's evaluation reads, over three episodes of test tasks in the package's order."""
    kwargs = {"seed": 3, "meta_batch_size": 2, "total_tasks_per_cls": 4, "max_episode_steps": 12}
    theirs = metaworld.make_ml_envs_test("drawer-close-v3", **kwargs)
    made = host.environments(host.make_suite("ML1-drawer-close-v3", "test", 3), 2, 4, host.Wrapping(3, 12, "v2"))
    rng = np.random.default_rng(0)
    with contextlib.closing(theirs), contextlib.closing(WorkerEnvs(made.makers, made.names)) as ours:
        for name in ("task_name", "terminate_on_success"):
            assert ours.get_attr(name) == tuple(theirs.get_attr(name))
        for _ in range(3):
            for envs in (ours, theirs):
                envs.call("sample_tasks")
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
            for _ in range(12):
                actions = rng.uniform(-1, 1, (2, 4)).astype(np.float32)
                (*mine, info), (*other, other_info) = ours.step(actions), theirs.step(actions)
                for a, b in zip(mine, other, strict=True):
                    np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(info["final_info"]["success"], other_info["final_info"]["success"])
            np.testing.assert_allclose(
                info["final_info"]["episode"]["r"], other_info["final_info"]["episode"]["r"], rtol=1e-12
            )


@pytest.mark.parametrize("accident", [9.5, 8.5])
def test_a_worker_that_fails_once_is_brought_back(open_stubs, tmp_path, capfd, accident):
    """It died (9.5), or hung (8.5), in the second episode of the second environment; nobody would notice but for a line."""
    envs = open_stubs(flag=tmp_path / "flag", num_workers=2, timeout=3.0)
    envs.reset()
    total = np.zeros((3, 2))
    for step in range(1, 9):
        actions = np.full((3, 2), 0.1 * step)
        actions[1, 0] = accident if step == 7 else 0.2
        obs, *_ = envs.step(actions)
        total = np.zeros((3, 2)) if step == 5 else total + actions
        np.testing.assert_allclose(obs, total)
    (line,) = capfd.readouterr().err.splitlines()
    assert "'two-v3'" in line and "restarted" in line and ("died" if accident > 9 else "did not answer") in line


@pytest.mark.parametrize("accident", [9.5, 8.5])
def test_a_worker_that_fails_again_ends_it(open_stubs, accident):
    envs = open_stubs(num_workers=2, timeout=2.0)
    before = pids(envs)
    envs.reset()
    with pytest.raises(WorkerError, match=r"'two-v3'.*restarted"):
        envs.step(np.array([[0.0, 0.0], [accident, 0.0], [0.0, 0.0]]))
    assert envs.closed
    for pid in before + pids(envs):
        assert not Path(f"/proc/{pid}").exists()


def test_an_error_in_an_environment_names_its_task(open_stubs, stub_env, capfd):
    envs = open_stubs(makers=[stub_env.Stub, stub_env.Broken], num_workers=1)
    with pytest.raises(WorkerError, match="'two-v3' died"):
        envs.reset()
    assert capfd.readouterr().err.count("ValueError: no such file") == 2


def test_a_killed_worker_of_the_package_is_brought_back_bit_for_bit():
    """Its process is killed in mid-episode, after tasks were drawn."""
    made = host.environments(host.make_suite("ML1-push-v3", "test", 0), 2, 4, host.Wrapping(0, 30, "v2"))
    traces = []
    for kill in (False, True):
        rng, trace = np.random.default_rng(0), []
        with contextlib.closing(WorkerEnvs(made.makers, made.names, num_workers=1)) as envs:
            envs.call("toggle_terminate_on_success", False)
            envs.call("sample_tasks")
            envs.reset()
            for step in range(45):
                if kill and step == 40:
                    os.kill(pids(envs)[0], signal.SIGKILL)
                trace.append(np.c_[envs.step(rng.uniform(-1, 1, (2, 4)))[:2]])
        traces.append(trace)
    np.testing.assert_array_equal(*traces)


def test_workers_end_with_a_parent_that_is_killed(stub_env):
    code = (
        "import sys, time; sys.path.append(sys.argv[1]); import stub_env\n"
        "from metarl_jax.benchmarks.metaworld.workers import WorkerEnvs\n"
        "envs = WorkerEnvs([stub_env.Stub] * 2, ['a', 'b'], num_workers=2)\n"
        "print(*[w._process.pid for w in envs._workers], flush=True); time.sleep(100)"
    )
    folder = str(Path(stub_env.__file__).parent)
    with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True) as parent:
        workers = parent.stdout.readline().split()
        assert len(workers) == 2 and all(Path(f"/proc/{pid}").exists() for pid in workers)
        parent.kill()
    deadline = time.monotonic() + 10.0
    while running := [pid for pid in workers if _runs(pid)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.05)


def _runs(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"  # whoever adopts it may not have noticed its end
    return False


def test_no_descriptor_stays_open(stub_env):
    _open_and_close(stub_env, 3)
    before = len(os.listdir("/proc/self/fd"))
    _open_and_close(stub_env, 5)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
def test_two_hundred_cycles_under_a_limit_of_descriptors(stub_env):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        _open_and_close(stub_env, 200)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _open_and_close(stub_env, cycles):
    for cycle in range(cycles):
        with contextlib.closing(WorkerEnvs([stub_env.Stub] * 3, NAMES, num_workers=2)) as envs:
            envs.reset()
            if cycle % 2:
                envs.step(np.zeros((3, 2)))
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids(envs))
