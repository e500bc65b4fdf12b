"""Films: frames against MuJoCo's own renderer, files read back by other libraries, and what bad input is answered."""

import colorsys
import importlib.util
import itertools
import os
import subprocess
import sys

import imageio_ffmpeg
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from metarl_jax import cli, envs, evaluation, rollout
from metarl_jax.envs import gl
from metarl_jax.errors import ConfigError
from metarl_jax.show import video

RUN = [
    "train",
    "nav-fomaml",
    "--policy.network.hidden",
    "8",
    "--iterations",
    "1",
    "--horizon",
    "6",
    "--algorithm.num-tasks",
    "2",
]
RUN += ["--algorithm.envs-per-task", "2", "--evaluation.tasks", "3", "--evaluation.episodes", "2"]
FILM = ["video", "--env", "cheetah-dir", "--frames", "3", "--width", "32", "--height", "32"]


def begin(env):
    """What a policy without memory begins with."""
    return rollout.no_history(env.spec, (1, 1))


REFERENCE = """
import sys, mujoco, numpy as np
model, worlds = mujoco.MjModel.from_binary_path(sys.argv[1]), np.load(sys.argv[2])
data, pictures = mujoco.MjData(model), []
with mujoco.Renderer(model, 48, 64) as renderer:
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = False
    for qpos in worlds:
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        renderer.update_scene(data, "track")
        pictures.append(renderer.render())
np.save(sys.argv[3], pictures)
"""


@pytest.fixture(scope="module")
def working_gl():
    """The name of a backend that draws here."""
    for name in gl.BACKENDS:
        if gl.works(name):
            return name
    pytest.skip("no OpenGL backend works on this machine (see docs/troubleshooting.md)")


@pytest.fixture
def metarl(capfd, tmp_path, monkeypatch):
    """Runs a command line in an empty directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUJOCO_GL", "")  # restores it afterwards

    def run(*argv):
        capfd.readouterr()
        code = cli.main([str(word) for word in argv])
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on the point."""
    directory = tmp_path_factory.mktemp("video") / "run"
    assert cli.main([*RUN, "--run-dir", str(directory)]) == 0
    return directory


def read_mp4(path):
    """The frames, as ffmpeg decodes them, of a 64 x 48 film of 10 frames per second."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert all(word in done.stderr.decode() for word in ("h264", "64x48", "10 fps"))
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 48, 64, 3)


def assert_one_error(result, *words):
    code, _, err = result
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


# Pictures.


def test_frames_are_those_of_mujocos_renderer(working_gl, tmp_path):
    """The reference draws in a process of its own, with what the package calls Renderer."""
    import mujoco

    from metarl_jax.envs import render

    env = envs.make("cheetah-dir")
    act = video.without_memory(video.random_policy(env.spec))
    states, _ = rollout.record(env, act, env.sample_task(jax.random.key(0)), begin(env), jax.random.key(1), 4)
    with render.open_view(env, None, (64, 48), working_gl) as view:
        assert view.dt == pytest.approx(0.05)
        frames = np.array(list(view.draw(states, None)))
    assert frames.shape == (5, 48, 64, 3) and frames.dtype == np.uint8
    assert all((a != b).any() for a, b in itertools.pairwise(frames))

    mujoco.mj_saveModel(env.physics.model, str(tmp_path / "model.mjb"))
    np.save(tmp_path / "qpos.npy", states.qpos)
    paths = [str(tmp_path / name) for name in ("model.mjb", "qpos.npy", "frames.npy")]
    subprocess.run(
        [sys.executable, "-c", REFERENCE, *paths], env={**os.environ, "MUJOCO_GL": working_gl}, check=True, timeout=60
    )
    np.testing.assert_array_equal(frames, np.load(tmp_path / "frames.npy"))


def test_the_goal_is_shown_though_hidden_from_the_policy(working_gl):
    """Two worlds that differ in the hidden goal alone differ where the ball is drawn, and nowhere far from it."""
    from metarl_jax.envs import render

    env = envs.make("metaworld/reach-v3")
    tasks = jnp.array([[0.0, 0.65, 0.02, x, 0.85, 0.2] for x in (-0.1, 0.1)])
    first, _ = jax.vmap(env.reset, in_axes=(None, 0))(jax.random.key(0), tasks)
    assert env.goal(jax.tree.map(lambda x: x[1], first)) == pytest.approx([0.1, 0.85, 0.2])
    with render.open_view(env, "topview", (96, 96), working_gl) as view:
        left, right = (frame.astype(int) for frame in view.draw(first, tasks))
    changed = np.abs(left - right).max(axis=-1) > 0
    assert 0 < changed.mean() < 0.05
    difference = (left - right) @ [1, -1, 1]  # of how magenta they are
    balls = [np.argwhere(sign * difference > 20)[:, 1].mean() for sign in (1, -1)]  # columns
    assert balls[0] < balls[1] - 5


def test_worlds_with_a_moving_fixture_and_nothing_hidden_in_the_model(working_gl):
    """The visible model has the positions of the one that is simulated."""
    from metarl_jax.envs import render

    env = envs.make("metaworld/drawer-open-v3")
    seen, simulated = env.visible_model(), env.physics.model
    assert (seen.nq, seen.nv, seen.nmocap) == (simulated.nq, simulated.nv, simulated.nmocap)
    assert seen.ngeom > simulated.ngeom
    states, _ = env.reset(jax.random.key(0), env.sample_task(jax.random.key(1)))
    states = jax.tree.map(lambda x: x[None], states)
    with render.open_view(env, None, (32, 32), working_gl) as view:
        (frame,) = view.draw(states, None)
    assert frame.std() > 10


@pytest.mark.parametrize("name", ["reach-v3", "button-press-v3", "soccer-v3"])
def test_the_goal_has_a_colour_of_its_own(name):
    """Of no finger, and of nothing else in sight: its hue is 40 degrees and more from that of every colour with one."""
    from metarl_jax.envs import render

    model = envs.make(f"metaworld/{name}").visible_model()
    seen = [rgba for rgba in (*model.geom_rgba, *model.mat_rgba) if rgba[3] > 0]
    hues = [colorsys.rgb_to_hsv(*map(float, rgba[:3])) for rgba in seen]
    own = colorsys.rgb_to_hsv(*render._GOAL_COLOUR[:3])
    apart = [abs((hue - own[0] + 0.5) % 1 - 0.5) * 360 for hue, saturation, value in hues if saturation * value > 0.2]
    assert own[1] > 0.9 and apart and min(apart) > 40


# Whom to watch.


def test_record_equals_a_loop(make_point):
    env, key = make_point(), jax.random.key(3)
    task = env.sample_task(key)
    act = video.without_memory(video.random_policy(env.spec))
    states, steps = rollout.record(env, act, task, begin(env), key, 4)
    key_reset, key_run = jax.random.split(key)
    state, step = env.reset(key_reset, task)
    for t, k in enumerate(jax.random.split(key_run, 4)):
        np.testing.assert_allclose(states.position[t], state.position, rtol=1e-6)
        action = act(step.obs[None, None], begin(env), k)[1].action[0, 0]
        state, step = env.step(state, action, task)
        assert steps.reward[t] == pytest.approx(float(step.reward))
    assert states.position.shape == (5, 2) and np.isfinite(steps.reward).all()


def test_a_policy_adapted_to_one_task_is_the_one_that_evaluation_judges(make_point, tiny_algorithms, tiny_policy):
    """After 0 steps that of the run, after 2 that of two calls of `adapt`, on the same experience as `adaptation`."""
    from metarl_jax.algorithms import make_algorithm

    env, key = make_point(), jax.random.key(5)
    algorithm = make_algorithm(tiny_algorithms["maml-ppo"], env, tiny_policy, 1)
    state = jax.jit(algorithm.init)(key)
    task = env.sample_task(jax.random.key(6))
    tasks = jax.tree.map(lambda x: x[None], task)
    adapt = jax.jit(lambda s: evaluation.adaptation(algorithm, env, s, tasks, key, (1, 3), 2))
    policies, _, curve = adapt(state)
    assert curve.returns.shape == (3, 1)
    params = jax.tree.map(lambda x: x[None], algorithm.policy_params(state))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b), policies, params)
    obs, key_act = jnp.array([0.3, -0.2]), jax.random.key(7)
    adapted, history, _ = evaluation.adapt_to_task(algorithm, env, state, task, key, 3, 2)
    act = algorithm.act(state, adapted)
    actions = [algorithm.act(state, jax.tree.map(lambda x, k=k: x[k], policies)) for k in (0, 2)]
    before, after = (a(obs[None, None], begin(env), key_act)[1].action[0, 0] for a in actions)
    np.testing.assert_allclose(act(obs[None, None], history, key_act)[1].action[0, 0], after, rtol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_expert_reaches_the_goal(working_gl, metarl, tmp_path):
    code, out, err = metarl(
        *["video", "--env", "metaworld/reach-v3/mt1", "--policy", "expert", "--frames", "61"],
        *["--width", "48", "--height", "32", "--out", "reach.gif"],
    )
    assert code == 0, err
    assert "60 steps" in out and "success 1.0" in out
    with Image.open(tmp_path / "reach.gif") as film:
        assert film.size == (48, 32) and film.n_frames == 31  # 80 frames per second are too many for a GIF
        durations = []
        for i in range(film.n_frames):
            film.seek(i)
            durations.append(film.info["duration"])
    assert sum(durations) == pytest.approx(31 * 25, abs=10)


# Files.


def test_gif_of_the_point(metarl, tmp_path):
    """No graphics driver is needed, and MUJOCO_GL does not matter."""
    os.environ["MUJOCO_GL"] = "nonsense"
    code, out, err = metarl("video", "--env", "point", "--out", "a/point.gif", "--width", "241", "--height", "200")
    assert code == 0 and "20 steps" in out and "written: a/point.gif" in out, err
    with Image.open(tmp_path / "a" / "point.gif") as film:
        assert film.size == (241, 200) and film.n_frames == 21 and film.info["duration"] == 100


def test_a_gif_of_500_frames_is_small(tmp_path):
    """Of a textured room with a thing that moves, in shades; and what is small and rare keeps its colour."""
    size, rng = 480, np.random.default_rng(0)
    across, down = np.meshgrid(*[np.linspace(0, 1, size)] * 2)
    room = np.stack([90 + 100 * across, 80 + 60 * down, 70 + 40 * across * down], axis=-1)
    room += rng.normal(scale=4.0, size=(size, size, 1))  # the grain of wood
    room[10:14, 10:14] = 255, 0, 204

    def frames():
        for t in range(500):
            frame, left = room.copy(), t % 360
            frame[150:350, left : left + 120] = np.array([150, 20, 20]) + 60 * across[150:350, :120, None]
            yield frame.clip(0, 255).astype(np.uint8)

    video.write(frames(), tmp_path / "x.gif", 0.05)
    assert (tmp_path / "x.gif").stat().st_size < 8e6
    with Image.open(tmp_path / "x.gif") as film:
        assert film.n_frames == 500
        film.seek(300)
        shown = np.asarray(film.convert("RGB")).astype(int)
    assert np.abs(shown[12, 12] - [255, 0, 204]).max() < 40
    assert np.abs(shown - next(itertools.islice(frames(), 300, None))).mean() < 12


def test_a_termination_ends_the_film(metarl, tmp_path, monkeypatch, make_point):
    env = envs.make("point/maml")
    monkeypatch.setattr(envs, "make", lambda *args, **kwargs: env)
    monkeypatch.setattr(env, "_rules", env._rules._replace(goal_tolerance=0.3))
    monkeypatch.setattr(video, "random_policy", lambda spec: lambda obs, key: jnp.full(2, 0.05))
    monkeypatch.setattr(env, "sample_task", lambda key: jnp.array([0.5, 0.5]))
    code, out, _ = metarl("video", "--env", "point/maml", "--out", "x.gif", "--width", "32", "--height", "32")
    assert code == 0 and out.startswith("5 steps,")  # |0.05 t - 0.5| < 0.3 for t = 5 at first
    with Image.open(tmp_path / "x.gif") as film:
        assert film.n_frames == 6


def test_mp4_of_a_run(metarl, run, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")  # else its reader forks in Python, and JAX warns
    words = ["video", run, "--task", "2", "--seed", "7", "--width", "64", "--height", "48"]
    path = run / "plots" / "video-steps1-task2-seed7.mp4"
    code, _, err = metarl(*words)
    assert code == 0, err
    frames = list(read_mp4(path))
    assert len(frames) == 7 and (frames[0] != frames[-1]).any()
    before = path.read_bytes()
    assert_one_error(metarl(*words), "exists", "--overwrite")
    assert path.read_bytes() == before
    code, _, err = metarl(*words, "--steps", "0", "--checkpoint", "best", "--overwrite", "--out", path)
    assert code == 0, err
    assert len(list(read_mp4(path))) == 7 and path.read_bytes() != before


def test_actions_of_the_filmed_episode(metarl, run, monkeypatch):
    """Whatever the key, the most likely one is the same; the file's name says that it was asked for."""
    acts, record = [], rollout.record
    monkeypatch.setattr(rollout, "record", lambda env, act, *rest: (acts.append(act), record(env, act, *rest))[1])
    size = ["--width", 32, "--height", 32]
    code, _, err = metarl("video", run, "--actions", "mode", "--task", 1, "--seed", 3, *size)
    assert code == 0 and (run / "plots" / "video-steps1-task1-seed3-actions-mode.mp4").exists(), err
    obs, history = jnp.ones((1, 1, 2)), begin(envs.make("point"))
    first, second = (acts[0](obs, history, jax.random.key(seed))[1] for seed in (0, 1))
    assert (first.raw == second.raw).all() and (first.raw == first.dist.mean).all()


def test_write_is_whole_or_not_at_all(tmp_path):
    def frames():
        yield np.zeros((32, 32, 3), np.uint8)
        raise RuntimeError("the simulation stopped")

    for suffix in (".mp4", ".gif"):
        with pytest.raises(RuntimeError, match="the simulation stopped"):
            video.write(frames(), tmp_path / f"x{suffix}", 0.1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        video.write(iter([]), tmp_path / "file" / "x.gif", 0.1)


# Bad input.


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["run directory", "--env"]),
        (["nowhere"], ["nowhere"]),
        (["nowhere", "--env", "point"], ["--env"]),
        (["nowhere", "--policy", "random"], ["--policy", "--env"]),
        (["--env", "point", "--steps", "1"], ["--steps", "run"]),
        (["--env", "point", "--checkpoint", "best"], ["--checkpoint", "run"]),
        (["--env", "point", "--actions", "mode"], ["--actions", "run"]),
        (["--env", "poimt"], ["did you mean 'point"]),
        (["--env", "point", "--policy", "expret"], ["did you mean 'expert'"]),
        (["--env", "point", "--policy", "expert"], ["Meta-World", "random"]),
        (["--env", "metaworld/reach-v3", "--policy", "expert"], ["hides", "metaworld/reach-v3/mt1"]),
        (["--env", "point", "--out", "x.avi"], [".mp4", ".gif"]),
        (["--env", "point", "--frames", "1"], ["--frames"]),
        (["--env", "point", "--task", "-1"], ["--task"]),
        (["--env", "point", "--seed", "-1"], ["--seed"]),
        (["--env", "point", "--width", "0"], ["--width"]),
        (["--env", "point", "--width", "33"], ["even"]),
        (["--env", "point", "--height", "100000"], ["--height"]),
        (["--env", "point", "--camera", "top"], ["camera"]),
        (["--env", "point", "--physics", "mujoco"], ["physics"]),
        (["--env", "cheetah-dir", "--camera", "trakc"], ["did you mean 'track'"]),
    ],
)
def test_bad_values(metarl, tmp_path, argv, words):
    assert_one_error(metarl("video", *argv), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--task", "3"], ["--task", "3"]),
        (["--steps", "-1"], ["--steps"]),
        (["--checkpoint", "bset"], ["did you mean 'best'"]),
        (["--actions", "mod"], ["--actions", "did you mean 'mode'"]),
    ],
)
def test_bad_values_with_a_run(metarl, run, argv, words):
    assert_one_error(metarl("video", run, *argv), *words)


def test_no_film_without_ffmpeg(metarl, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "imageio_ffmpeg" else find(name, *a)
    )
    assert_one_error(metarl("video", "--env", "point", "--out", "a.mp4"), "pip install 'metarl-jax[video]'", ".gif")
    code, out, err = metarl("video", "--env", "point", "--frames", "3", "--width", "32", "--height", "32")
    assert code == 0 and "a .gif it is" in err and out.endswith("written: point.gif\n"), err


def test_no_opengl_at_all(metarl, monkeypatch):
    """Neither the backends that are tried by themselves nor one that is asked for."""
    monkeypatch.setattr(gl, "works", lambda name: False)
    assert_one_error(metarl(*FILM), "egl, osmesa, glfw", "libegl1", "libosmesa6", "MUJOCO_GL")
    monkeypatch.undo()


def test_asked_for_a_backend_that_is_none(metarl):
    os.environ["MUJOCO_GL"] = "nonsense"
    assert_one_error(metarl(*FILM), "tried nonsense", "libegl1", "libosmesa6")


@pytest.mark.parametrize("error", [ImportError, AttributeError, RuntimeError, OSError])
def test_a_backend_that_fails_after_all(metarl, monkeypatch, error):
    def refuse(*args):
        raise error("no display")

    monkeypatch.setattr(gl, "works", lambda name: True)
    monkeypatch.setattr(gl.importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match="libegl1"):
        gl.open_context("", 32, 32)
    monkeypatch.undo()
