"""The `metarl` command: the roof over the three packages, and the only module here that knows them all."""

import dataclasses
import sys
from collections.abc import Callable

from .errors import ConfigError, lookup


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 2 for bad input, 1 for a run that failed, 128 + n for signal n."""
    argv = sys.argv[1:] if argv is None else argv
    commands: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "train": (_train, "train a preset, or resume a run"),
        "evaluate": (_evaluate, "adaptation curve of a run on held-out tasks"),
        "plot": (_plot, "learning curves of several runs in one figure"),
        "list": (_list, "presets, environments, algorithms, networks, physics backends"),
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
    from . import envs, rollout

    horizon = config.evaluation.horizon or config.horizon if split == "test" else config.horizon
    env = envs.make(config.env, physics=config.physics, horizon=horizon, split=split)
    if split == "test":
        rollout.check_num_tasks(env, config.evaluation.tasks, "evaluation.tasks")
    return env


def _evaluate(argv: list[str]) -> int:
    import jax

    from . import console, runlog, training
    from .algorithms import make_algorithm
    from .checkpoint import Checkpoints
    from .options import EvaluateOptions, parse

    options = parse(EvaluateOptions, argv)
    config = runlog.read_config(options.run)
    lookup(options.checkpoint, {"latest": 0, "best": 0}, "checkpoint")
    if options.steps and min(options.steps) < 0:
        raise ConfigError(f"--steps must not be negative: {options.steps}.")
    asked = {"tasks": options.tasks, "episodes": options.episodes, "horizon": options.horizon}
    asked |= {"steps": max(options.steps, default=None)}
    config = dataclasses.replace(
        config,
        seed=config.seed if options.seed is None else options.seed,
        physics=options.physics or config.physics,
        evaluation=dataclasses.replace(config.evaluation, **{k: v for k, v in asked.items() if v is not None}),
    )
    env = _make_env(config, "test")
    algorithm = make_algorithm(config.algorithm, _make_env(config, "train"), config.policy, config.iterations)
    like = jax.eval_shape(algorithm.init, training.base_key(config.seed))
    with runlog.readable_errors(options.run):
        checkpoints = Checkpoints(options.run / "checkpoints", config.keep_checkpoints)
        state = checkpoints.restore(like, options.checkpoint)
        checkpoints.close()
        name = f"iteration-{int(state.step)}-tasks-{config.evaluation.tasks}-seed-{config.seed}"
        name += "" if options.horizon is None else f"-horizon-{options.horizon}"
        curve = training.evaluate(config, algorithm, env, state, options.run, name)
    console.print_curve(curve, options.steps or tuple(curve["steps"]))
    print(f"written: {options.run / 'eval' / name}.json and {options.run / 'plots' / 'adaptation.png'}")
    return 0


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
    from .networks import NETWORKS
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
