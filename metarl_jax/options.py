"""What the commands of `metarl` take, and how their command lines become it."""

import dataclasses
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from . import presets, runlog
from .algorithms import ALGORITHMS
from .config import ExperimentConfig, changed_fields
from .errors import ConfigError, lookup
from .test_time import OnlineConfig

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Train a preset (the first argument; cheetah-dir-maml where left out), or resume a run."""

    config: Annotated[ExperimentConfig, tyro.conf.arg(name="")]
    run_dir: Path | None = None
    """Where the run goes; runs/PRESET-sSEED-TIME where left out. Must not hold anything yet."""
    resume: Path | None = None
    """Run directory to go on with; of its configuration, only --iterations can change."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="0..7|0 1 2")] = ()
    """Several runs in one compiled program, one for each seed, in RUN_DIR/seed-N."""
    devices: int = 1
    """Devices of each process to split the tasks over; on CPU, as many parts of it."""
    distributed: bool = False
    """This is one of several processes that Slurm, Open MPI or Kubernetes started; they find each other."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where processes do not find each other; with --processes and --process-id."""
    processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which of them this is, from 0."""


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Run a grid over the configuration: metarl sweep PRESET --out DIR --grid FIELD=A,B ... [-- options of metarl train].

    A process for each run, in DIR/SETTINGS/seed-N. The same command again goes on where it ended. At the end DIR/table.json
    and DIR/table.png.
    """

    preset: tyro.conf.Positional[str]
    """Preset to begin with."""
    out: Path
    """Directory of the sweep."""
    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """An axis, for example algorithm.inner.lr=0.05,0.1; once for each."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="0..7|0 1 2")] = (0,)
    """Seeds of every setting."""
    jobs: int = 1
    """Processes at once on this machine."""
    slurm: tuple[str, ...] = ()
    """Submit to Slurm instead, with these parameters of submitit, for example timeout_min=60 slurm_partition=gpu."""

    @property
    def slurm_parameters(self) -> dict[str, int | str]:
        """Numbers as such."""
        pairs = (word.partition("=") for word in self.slurm)
        return {name: int(value) if value.isdigit() else value for name, _, value in pairs}


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """How a run adapts to tasks it has not seen: tables, JSON in RUN/eval, figures in RUN/plots.

    On its own environment (`--on native`), or on the installed metaworld package (`--on metaworld`).
    """

    run: tyro.conf.Positional[Path]
    """Run directory."""
    on: str = "native"
    """`native`: held-out tasks of the run's environment; `metaworld`: the installed package's environments."""
    tasks: int | None = None
    """Native: held-out tasks; the run's own number where left out."""
    episodes: int | None = None
    """Episodes of each task (on metaworld: of each goal) per point; the run's own number where left out."""
    steps: tuple[int, ...] = ()
    """Native: adaptation steps to show (for example 0 1 2 3); 0 to the run's own number where left out."""
    horizon: int | None = None
    """Steps per episode; where left out, the run's own number, on metaworld the package's 500."""
    seed: int | None = None
    """Seed of the tasks; the run's own where left out (on metaworld that of the goals in its environment's name)."""
    checkpoint: str = "latest"
    """`latest` or `best` (by return after adaptation in training)."""
    physics: str | None = None
    """Native: physics backend; the run's own where left out."""
    suite: str | None = None
    """Metaworld: ML10, MT10, ML1-reach-v3, MT1-reach-v3, ...; what the run was trained on where left out."""
    split: str | None = None
    """Metaworld: `train` or `test`; `test` where left out (MT suites only have `train`)."""
    evaluator: str | None = None
    """Metaworld: `per-goal` (equally many episodes of each; the default), `official` (the package's functions), or `both`."""
    adaptation_episodes: tuple[int, ...] = ()
    """Metaworld, per-goal: episodes that one adaptation step sees; 0 1 2 5 10 where left out, 0 for runs that do not adapt."""
    actions: str | None = None
    """Metaworld: in evaluation episodes, `sampled` (where left out) or `mode`, the most likely action."""


@dataclasses.dataclass(frozen=True)
class AdaptOptions:
    """Let a run go on learning new tasks from its own episodes, beside a copy that does not.

    Tables, JSON in RUN/eval, a curve over episodes in RUN/plots.
    """

    run: tyro.conf.Positional[Path]
    """Run directory."""
    env: str | None = None
    """Environment to draw the tasks from; the run's own where left out."""
    tasks: int = 20
    """Tasks, each learned by itself."""
    episodes: int = 10
    """Episodes of each task in each of the run's own adaptation steps, and in the comparison at the end."""
    steps: int | None = None
    """Adaptation steps as the run was trained to take them, before it goes on; its own number where left out."""
    seed: int | None = None
    """Seed of tasks and episodes; the run's own where left out."""
    checkpoint: str = "latest"
    """`latest` or `best` (by return after adaptation in training)."""
    online: OnlineConfig = OnlineConfig()
    """How it learns."""


@dataclasses.dataclass(frozen=True)
class PathsOptions:
    """Where a run's point goes on held-out tasks, before and after each adaptation step (or episode of a memory)."""

    run: tyro.conf.Positional[Path]
    """Run directory, of an environment on the plane (point...)."""
    tasks: int = 5
    """Held-out tasks, a column each."""
    steps: int | None = None
    """Adaptation steps K, K + 1 rows; the run's own number where left out."""
    seed: int | None = None
    """Seed of tasks and episodes; the run's own where left out."""
    checkpoint: str = "latest"
    """`latest` or `best` (by return after adaptation in training)."""
    out: Path | None = None
    """PNG to write; RUN/plots/paths.png where left out."""


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Learning curves of one or several runs in one figure."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path = Path("learning.png")
    """PNG to write."""


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """Film an episode: of a trained run on a held-out task, or of an environment (--env)."""

    run: tyro.conf.Positional[Path | None] = None
    """Run directory."""
    env: str | None = None
    """Environment to film instead of a run (`metarl list` names them)."""
    policy: str | None = None
    """With --env, who acts: `random` (where left out), or `expert`, Meta-World's scripted policy (forms that show the goal)."""
    steps: int | None = None
    """Adaptation steps before the episode; the run's own number where left out, 0 is before adaptation."""
    checkpoint: str | None = None
    """`latest` (where left out) or `best` checkpoint of the run."""
    task: int = 0
    """Which task: of a run, its number among the held-out tasks of `metarl evaluate` with the same seed."""
    seed: int | None = None
    """Seed of tasks and episode; the run's own where left out, 0 with --env."""
    frames: int | None = None
    """Frames to film, one per control step and the reset; a whole episode where left out. A termination ends it anyway."""
    out: Path | None = None
    """File to write, .mp4 or .gif; RUN/plots/video-steps..-task..-seed...mp4, or ENV.mp4 in this folder, where left out."""
    overwrite: bool = False
    """Replace a file that is there."""
    camera: str | None = None
    """Camera of the MuJoCo model; its usual one where left out."""
    width: int = 480
    """Pixels."""
    height: int = 480
    """Pixels."""
    physics: str | None = None
    """Physics backend; the run's own where left out, `auto` with --env."""


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Measure; see benchmarks/."""

    name: tyro.conf.Positional[str]
    """Which benchmark: throughput, scaling, peers, physics, metaworld, metaworld-bridge, metaworld-memory or sequence."""
    json: bool = False
    """Print one JSON object instead of a table."""
    out: Path | None = None
    """Directory that also gets NAME.json, NAME.md (a Markdown table) and, of benchmarks that draw, NAME.png."""


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Everything that has a name: presets, environments, algorithms, networks, memories, physics backends."""


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """Versions, devices, which physics backends work here and why others do not."""


def parse(options: type[T], argv: list[str]) -> T:
    """`options` from a command line; exits with 2 on a bad one."""
    command = options.__name__.removesuffix("Options").lower()
    return tyro.cli(options, args=argv, prog=f"metarl {command}")


def parse_train(argv: list[str]) -> TrainOptions:
    """The options of `metarl train [PRESET] [--resume RUN] [--field value ...]`; ConfigError or exit 2 on bad ones."""
    argv = list(argv)
    preset = argv.pop(0) if argv and not argv[0].startswith("-") else _take(argv, "--preset")
    resume = _take(argv, "--resume")
    _spread(argv, "--seeds")
    algorithm = _take(argv, "--algorithm")
    if resume is None:
        default = lookup(preset or presets.DEFAULT, presets.PRESETS, "preset").config
    elif preset is not None:
        raise ConfigError(f"--resume {resume} goes on with that run's configuration: leave the preset {preset!r} out.")
    else:
        default = runlog.read_config(Path(resume))
    if algorithm is not None:
        default = dataclasses.replace(default, algorithm=lookup(algorithm, ALGORITHMS, "algorithm").config)

    prog = f"metarl train {preset or ''}".strip()
    options = tyro.cli(TrainOptions, args=argv, prog=prog, default=TrainOptions(default))
    if resume is not None:
        changed = set(changed_fields(runlog.read_config(Path(resume)), options.config)) - {"iterations"}
        if changed or options.run_dir:
            names = ", ".join(sorted(changed | ({"run_dir"} if options.run_dir else set())))
            raise ConfigError(f"a resumed run keeps its configuration: {names} cannot change (only iterations can).")
        options = dataclasses.replace(options, resume=Path(resume))
    return _checked(options)


def parse_sweep(argv: list[str]) -> tuple[SweepOptions, list[str]]:
    """The options of `metarl sweep`, and preset and options that all its runs share; ConfigError or exit 2 on bad ones."""
    argv, common = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (list(argv), [])
    _spread(argv, "--seeds")
    options = parse(SweepOptions, argv)
    lookup(options.preset, presets.PRESETS, "preset")
    _check_ranges(options, {"jobs": (1, 1025)})
    _check_seeds(options.seeds)
    if not options.seeds:
        raise ConfigError("--seeds needs at least one.")
    taken = {"--seed", "--seeds", "--run-dir", "--resume", "--preset"} & {word.partition("=")[0] for word in common}
    if taken:
        raise ConfigError(f"{', '.join(sorted(taken))} after -- is the sweep's own matter.")
    if any("=" not in word for word in options.slurm):
        raise ConfigError(f"--slurm {' '.join(options.slurm)}: write name=value ...")
    return options, [options.preset, *common]


def _check_seeds(seeds: tuple[int, ...]) -> None:
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ConfigError(f"--seeds must be distinct and lie in [0, 2**32): {' '.join(map(str, seeds))}.")


def _checked(options: TrainOptions) -> TrainOptions:
    """ConfigError where options do not go together."""
    given = [x is not None for x in (options.coordinator, options.processes, options.process_id)]
    if any(given) and (not all(given) or options.distributed):
        raise ConfigError("--coordinator, --processes and --process-id go together, and instead of --distributed.")
    if all(given) and not 0 <= options.process_id < options.processes:
        raise ConfigError(f"--process-id must lie in [0, {options.processes - 1}], not {options.process_id}.")
    if (any(given) or options.distributed) and options.resume is None and options.run_dir is None:
        raise ConfigError("several processes need the same --run-dir.")
    if options.seeds and options.resume is not None:
        raise ConfigError("--seeds begins runs: resume each of them by itself.")
    _check_seeds(options.seeds)
    return options


def parse_evaluate(argv: list[str]) -> EvaluateOptions:
    """The options of `metarl evaluate`; ConfigError or exit 2 on bad ones."""
    options = parse(EvaluateOptions, argv)
    lookup(options.on, {"native": 0, "metaworld": 0}, "place to evaluate on")
    lookup(options.checkpoint, {"latest": 0, "best": 0}, "checkpoint")
    native, metaworld = ("tasks", "steps", "physics"), ("suite", "split", "evaluator", "adaptation_episodes", "actions")
    for name in metaworld if options.on == "native" else native:
        if getattr(options, name) not in (None, ()):
            other = "metaworld" if options.on == "native" else "native"
            raise ConfigError(f"--{name.replace('_', '-')} goes with --on {other} only.")
    if options.evaluator == "official":
        for name in ("episodes", "adaptation_episodes"):
            if getattr(options, name) not in (None, ()):
                raise ConfigError(
                    f"--{name.replace('_', '-')} goes with --evaluator per-goal: the official one has its own."
                )
    if options.steps and min(options.steps) < 0:
        raise ConfigError(f"--steps must not be negative: {options.steps}.")
    return options


def parse_adapt(argv: list[str]) -> AdaptOptions:
    """The options of `metarl adapt`; ConfigError or exit 2 on bad ones."""
    options = parse(AdaptOptions, argv)
    lookup(options.checkpoint, {"latest": 0, "best": 0}, "checkpoint")
    _check_ranges(options, {"tasks": (1, 2**20), "episodes": (1, 2**20), "steps": (0, 2**20), "seed": (0, 2**32)})
    return options


def parse_paths(argv: list[str]) -> PathsOptions:
    """The options of `metarl paths`; ConfigError or exit 2 on bad ones."""
    options = parse(PathsOptions, argv)
    lookup(options.checkpoint, {"latest": 0, "best": 0}, "checkpoint")
    _check_ranges(options, {"tasks": (1, 21), "steps": (0, 20), "seed": (0, 2**32)})
    return options


def parse_video(argv: list[str]) -> VideoOptions:
    """The options of `metarl video`; ConfigError or exit 2 on bad ones."""
    options = parse(VideoOptions, argv)
    if (options.run is None) == (options.env is None):
        raise ConfigError("name either a run directory or an environment (--env) to film.")
    for name in ("policy",) if options.run else ("steps", "checkpoint"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} goes with {'--env' if options.run else 'a run directory'} only.")
    lookup(options.policy or "random", {"random": 0, "expert": 0}, "policy")
    lookup(options.checkpoint or "latest", {"latest": 0, "best": 0}, "checkpoint")
    ranges = {"steps": (0, 2**31), "task": (0, 2**20), "seed": (0, 2**32), "frames": (2, 2**31)}
    _check_ranges(options, ranges | {"width": (16, 4097), "height": (16, 4097)})
    return options


def _check_ranges(options: object, ranges: dict[str, tuple[int, int]]) -> None:
    """ConfigError where an option is given and not in its range [low, high)."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value < high:
            raise ConfigError(f"--{name} must lie in [{low}, {high - 1}], not {value}.")


def _spread(argv: list[str], flag: str) -> None:
    """Replaces `A..B` after `flag` by the numbers from A to B."""
    for index, word in enumerate(argv):
        low, dots, high = word.partition("..")
        if dots and index and argv[index - 1] == flag:
            if not (low.isdigit() and high.isdigit() and int(low) <= int(high) < int(low) + 10_000):
                raise ConfigError(f"{flag} {word}: write 0..7 or 0 1 2.")
            argv[index : index + 1] = map(str, range(int(low), int(high) + 1))
            return


def _take(argv: list[str], flag: str) -> str | None:
    """Removes `flag VALUE` or `flag=VALUE` from the arguments and returns the value."""
    for index, word in enumerate(argv):
        if word.startswith(flag + "="):
            del argv[index]
            return word.removeprefix(flag + "=")
        if word == flag:
            if index + 1 == len(argv) or argv[index + 1].startswith("-"):
                raise ConfigError(f"{flag} needs a value.")
            del argv[index]
            return argv.pop(index)
    return None
