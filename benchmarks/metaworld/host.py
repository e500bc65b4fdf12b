"""Suites of the installed `metaworld` package: which tasks a run is judged on, and the environments for it.

They are built from the benchmark classes. The registered gymnasium names are of no use: `Meta-World/ML1-train` and
`ML1-test` both give test tasks.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import metaworld

from ...envs import METAWORLD, METAWORLD_SUITES
from ...envs.metaworld import Name
from ...envs.metaworld.suites import SUITES, Split
from ...errors import ConfigError, lookup
from . import mended  # noqa: F401  # the package's environments could not be made without


class HostSuite(NamedTuple):
    """Tasks of the package, by name of the task's environment."""

    name: str  # "ML10", "MT1-reach-v3"
    split: Split
    classes: dict[str, type]
    tasks: dict[str, list[metaworld.Task]]  # 50 each
    overlap: tuple[str, ...]  # environments of a test split that are in the training split too

    @property
    def shows_goal(self) -> bool:
        return shows_goal(self.name)


class Wrapping(NamedTuple):
    """How the package wraps environments."""

    seed: int  # of the order in which `sample_tasks` goes through the goals
    horizon: int  # steps per episode
    reward: str  # "v1" or "v2"
    recurrent: bool = False  # the action, the reward and the end of the step before stand at the end of observations


class Environments(NamedTuple):
    """What `WorkerEnvs` makes; environments of one name stand together."""

    makers: list[Callable[[], gymnasium.Env]]
    names: list[str]


def shows_goal(suite: str) -> bool:
    """Whether observations of a suite have the goal in them."""
    return suite.startswith("MT")


def suite_of(run: Name) -> str:
    """The package's name of what a run was trained on; ConfigError where it has none."""
    if run.what in METAWORLD_SUITES:
        return run.what
    if "+" in run.what:
        raise ConfigError(f"the package has no suite of {run.what!r}: name one with --suite.")
    return f"{'MT1' if run.shows_goal else 'ML1'}-{run.what}"


def full_name(suite: str) -> str:
    """`suite` as this module writes it: "ML1-reach" is ML1-reach-v3. ConfigError with the nearest name on an unknown one."""
    names = (*METAWORLD_SUITES, *(f"{kind}-{task}" for kind in ("ML1", "MT1") for task in METAWORLD))
    if suite + "-v3" in names:
        return suite + "-v3"
    lookup(suite, dict.fromkeys(names), "Meta-World suite")
    return suite


def find_split(suite: str, asked: str | None) -> Split:
    """The split `asked` for; the test split of ML suites and the only one of MT suites where None. ConfigError on others."""
    splits = ("train",) if shows_goal(suite) else ("test", "train")
    return lookup(asked or splits[0], {split: split for split in splits}, f"split of {suite}")


def task_names(suite: str, split: Split) -> tuple[str, ...]:
    """The names of a suite's environments."""
    kind, _, task = suite.partition("-")
    return (task,) if task else SUITES[kind][split]


def make_suite(name: str, split: Split, seed: int) -> HostSuite:
    """A suite by its full name, with the package's goals of a seed; takes seconds, ML45 a minute."""
    kind, _, task = name.partition("-")
    benchmark = getattr(metaworld, kind)(*([task] if task else []), seed=seed)
    train, test = dict(benchmark.train_classes), dict(benchmark.test_classes)
    classes, tasks = (train, benchmark.train_tasks) if split == "train" else (test, benchmark.test_tasks)
    by_name = {env: [t for t in tasks if t.env_name == env] for env in classes}
    overlap = tuple(env for env in test if env in train) if split == "test" and not task else ()
    return HostSuite(name, split, classes, by_name, overlap)


def environments(suite: HostSuite, per_task: int, num_goals: int, wrapping: Wrapping) -> Environments:
    """`per_task` environments of each name, among which its first `num_goals` goals, a multiple of that, are shared out."""
    makers = [
        functools.partial(
            # What the package's own vector environments are made of; those come only with a process per environment.
            metaworld._init_each_env,
            env_cls=cls,
            tasks=suite.tasks[name][:num_goals][i::per_task],
            seed=wrapping.seed,
            max_episode_steps=wrapping.horizon,
            terminate_on_success=True,
            task_select="random" if suite.shows_goal else "pseudorandom",
            reward_function_version=wrapping.reward,
            recurrent_info_in_obs=wrapping.recurrent,
            normalize_reward_in_recurrent_info=False,
        )
        for name, cls in suite.classes.items()
        for i in range(per_task)
    ]
    return Environments(makers, [name for name in suite.classes for _ in range(per_task)])
