"""The `metarl` command: the roof over the three packages, and the only module here that knows them all."""

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import ConfigError, lookup

_HOST = "metaworld-host/"  # begins the names of environments of the package


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 2 for bad input, 1 for a run that failed, 128 + n for signal n."""
    argv = sys.argv[1:] if argv is None else argv
    commands: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "train": (_train, "train a preset, or resume a run"),
        "evaluate": (_evaluate, "adaptation curve of a run on held-out tasks"),
        "video": (_video, "film an episode of a run or of an environment (.mp4, .gif)"),
        "plot": (_plot, "learning curves of several runs in one figure"),
        "list": (_list, "presets, environments, algorithms, networks, memories, physics backends"),
        "doctor": (_doctor, "versions, devices, and what works here"),
        "bench": (_bench, "measure throughput"),
    }
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: metarl COMMAND [options]   (metarl COMMAND --help describes them)\n")
        for name, (_, summary) in commands.items():
            print(f"  {name:10s}{summary}")
        return 0 if argv else 2
    try:
        run, _ = lookup(argv[0], commands, "command")
        return run(argv[1:])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, ValueError) as error:
        # Where a worker with environments of the package has failed; from within XLA that comes as text.
        _, is_worker, words = f"{type(error).__name__}: {error}".rpartition("WorkerError: ")
        if not is_worker:
            raise
        print(f"error: {words.splitlines()[0]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # outside the training loop, which saves before it ends
        print("interrupted", file=sys.stderr)
        return 130


def _train(argv: list[str]) -> int:
    from . import console, training
    from .algorithms import make_algorithm
    from .options import parse_train
    from .runlog import RunLog

    options = parse_train(argv)
    config = options.config
    env, eval_env = _make_env(config, "train"), _make_env(config, "test")
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    if options.resume is None:
        directory = options.run_dir or console.default_run_dir(config)
        log = RunLog.create(directory, config)
    else:
        log = RunLog.resume(options.resume)
    try:
        with log, console.Progress(config) as progress:
            summary = training.train(config, algorithm, eval_env, log, progress)
    except training.TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except training.Interrupted as stop:
        print(f"saved at iteration {stop.iteration}; continue with: metarl train --resume {log.directory}")
        return 128 + stop.signal
    console.print_summary(summary, log.directory)
    return 0


def _make_env(config, split: str):
    """What a run trains on (split "train"), or what it is judged on ("test")."""
    from . import rollout
    from .envs import make

    if config.env.startswith(_HOST):
        from .benchmarks.metaworld.host_env import make
    horizon = config.evaluation.horizon or config.horizon if split == "test" else config.horizon
    env = make(config.env, physics=config.physics, horizon=horizon, split=split)
    if split == "test":
        rollout.check_num_tasks(env, config.evaluation.tasks, "evaluation.tasks")
    return env


def _evaluate(argv: list[str]) -> int:
    from . import runlog
    from .options import parse_evaluate

    options = parse_evaluate(argv)
    config = runlog.read_config(options.run)
    return _evaluate_natively(options, config) if options.on == "native" else _evaluate_on_metaworld(options, config)


def _evaluate_natively(options, config) -> int:
    from . import console, runlog, training

    asked = {"tasks": options.tasks, "episodes": options.episodes, "horizon": options.horizon}
    asked |= {"steps": max(options.steps, default=None)}
    config = dataclasses.replace(
        config,
        seed=config.seed if options.seed is None else options.seed,
        physics=options.physics or config.physics,
        evaluation=dataclasses.replace(config.evaluation, **{k: v for k, v in asked.items() if v is not None}),
    )
    env = _make_env(config, "test")
    with runlog.readable_errors(options.run):
        algorithm, state = _restore(options.run, config, _make_env(config, "train"), options.checkpoint)
        name = f"iteration-{int(state.step)}-tasks-{config.evaluation.tasks}-seed-{config.seed}"
        name += "" if options.horizon is None else f"-horizon-{options.horizon}"
        curve = training.evaluate(config, algorithm, env, state, options.run, name)
    console.print_curve(curve, options.steps or tuple(curve["steps"]))
    print(f"written: {options.run / 'eval' / name}.json and {options.run / 'plots' / 'adaptation.png'}")
    return 0


def _evaluate_on_metaworld(options, config) -> int:
    if importlib.util.find_spec("metaworld") is None:
        raise ConfigError("--on metaworld needs the package: pip install 'metaworld>=3.0'.")
    from . import console, runlog
    from .benchmarks.metaworld import bridge

    wanted = bridge.request(config, options)
    env = _make_env(config, "train")
    with runlog.readable_errors(options.run):
        algorithm, state = _restore(options.run, config, env, options.checkpoint)
        with console.StepsBar() as bar:
            report = bridge.judge(config, algorithm, env.spec, state, wanted, bar.begin)
        written = bridge.write(report, options.run)
    console.print_host_report(report)
    print("written: " + " and ".join(map(str, written)))
    return 0


def _restore(run, config, env, checkpoint: str) -> tuple:
    """The algorithm of a run that trained on `env`, and its state in the `latest` or `best` checkpoint."""
    import jax

    from . import training
    from .algorithms import make_algorithm
    from .checkpoint import Checkpoints

    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    like = jax.eval_shape(algorithm.init, training.base_key(config.seed))
    checkpoints = Checkpoints(run / "checkpoints", config.keep_checkpoints)
    state = checkpoints.restore(like, checkpoint)
    checkpoints.close()
    return algorithm, state


def _video(argv: list[str]) -> int:
    import jax
    import numpy as np

    from . import rollout, video
    from .options import parse_video

    options = parse_video(argv)
    asked_gl = os.environ.pop("MUJOCO_GL", "")  # MuJoCo would read it, and not import where that backend is missing
    scene = _run_scene(options) if options.run else _env_scene(options)
    env, size = scene.env, (options.width, options.height)
    video.check_file(scene.out, size, options.overwrite)

    from .envs import render

    with render.open_view(env, options.camera, size, asked_gl) as view:
        key_act, key = jax.random.split(scene.key)
        act, history = scene.make_act(key_act)
        num_steps = env.spec.horizon if options.frames is None else options.frames - 1
        states, steps = jax.jit(lambda task, key: rollout.record(env, act, task, history, key, num_steps))(
            scene.task, key
        )
        ends = np.flatnonzero(steps.terminated)
        num_steps = int(ends[0]) + 1 if ends.size else num_steps
        video.write(view.draw(jax.tree.map(lambda x: x[: num_steps + 1], states), scene.task), scene.out, view.dt)
    totals = {"return": steps.reward[:num_steps].sum()}
    totals |= {name: x[:num_steps].max() for name, x in steps.info.items() if name == "success"}
    print(f"{num_steps} steps, " + ", ".join(f"{name} {float(x):.1f}" for name, x in totals.items()))
    print(f"written: {scene.out}")
    return 0


def _run_scene(options):
    """The adapted policy of a run on one of its held-out tasks."""
    import jax

    from . import rollout, runlog, training, video

    config = runlog.read_config(options.run)
    seed = config.seed if options.seed is None else options.seed
    steps = config.evaluation.steps if options.steps is None else options.steps
    if options.task >= config.evaluation.tasks:
        raise ConfigError(f"--task must be below {config.evaluation.tasks}, the run's number of held-out tasks.")
    config = dataclasses.replace(config, physics=options.physics or config.physics)
    with runlog.readable_errors(options.run):
        algorithm, state = _restore(options.run, config, _make_env(config, "train"), options.checkpoint or "latest")
    # Of the package's environments, ours are what can be drawn; they are told apart by their speed alone.
    env = _make_env(dataclasses.replace(config, env=config.env.replace(_HOST, "metaworld/")), "test")
    key_tasks, key = jax.random.split(training.evaluation_key(seed))  # as in evaluation.adaptation_curve
    env, task = rollout.row(env, rollout.sample_tasks(env, key_tasks, config.evaluation.tasks), options.task)
    out = options.run / "plots" / f"video-steps{steps}-task{options.task}-seed{seed}.mp4"

    def make_act(key):
        return video.adapted_policy(algorithm, env, state, task, key, config.evaluation.episodes, steps)

    return video.Scene(env, task, make_act, key, options.out or out)


def _env_scene(options):
    """Random actions, or an expert's, in an environment."""
    import jax

    from . import envs, rollout, training, video
    from .types import Suite

    env = envs.make(options.env, physics=options.physics or "auto")
    if isinstance(env, Suite):
        env = env.envs[options.task % len(env.envs)]
    if options.policy == "expert":
        from .envs.metaworld.expert import expert_policy

        act = expert_policy(env)
    else:
        act = video.random_policy(env.spec)
    key_task, key = jax.random.split(training.base_key(options.seed or 0))
    task = env.sample_task(jax.random.fold_in(key_task, options.task))
    out = options.out or Path(options.env.replace("/", "-") + ".mp4")
    begin = video.without_memory(act), rollout.no_history(env.spec, (1, 1))
    return video.Scene(env, task, lambda key: begin, key, out)


def _plot(argv: list[str]) -> int:
    from . import plots, runlog
    from .options import PlotOptions, parse

    options = parse(PlotOptions, argv)
    if not options.runs:
        raise ConfigError("name at least one run directory to plot.")
    runs = {}
    for directory in options.runs:
        config = runlog.read_config(directory)
        rows = runlog.read_metrics(directory)
        if not rows:
            raise ConfigError(f"{directory} has no metrics yet.")
        label = f"{config.preset} seed {config.seed}"
        runs[label if label not in runs else f"{label} ({directory.name})"] = rows
    with runlog.readable_errors(options.out.parent):
        plots.learning_curves(runs, options.out)
    print(f"written: {options.out}")
    return 0


def _list(argv: list[str]) -> int:
    from . import console, envs
    from .algorithms import ALGORITHMS
    from .envs.physics import BACKENDS
    from .networks import MEMORIES, NETWORKS
    from .options import ListOptions, parse
    from .presets import PRESETS

    parse(ListOptions, argv)
    console.print_tables(
        {
            "Presets": {name: preset.summary for name, preset in PRESETS.items()},
            "Environments": {name: entry.summary for name, entry in envs.ENVIRONMENTS.items()},
            **envs.METAWORLD_NAMES,
            "Algorithms": {name: entry.summary for name, entry in ALGORITHMS.items()},
            "Networks": {name: summary for name, (_, summary) in NETWORKS.items()},
            "Memories": {name: summary for name, (_, summary) in MEMORIES.items()},
            "Physics backends": BACKENDS,
        }
    )
    return 0


def _doctor(argv: list[str]) -> int:
    from . import console, doctor
    from .options import DoctorOptions, parse

    parse(DoctorOptions, argv)
    console.print_tables(doctor.report())
    return 0


def _bench(argv: list[str]) -> int:
    from . import benchmarks
    from .options import BenchOptions, parse

    options = parse(BenchOptions, argv)
    benchmarks.run(options.name, as_json=options.json, command="metarl bench " + " ".join(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
