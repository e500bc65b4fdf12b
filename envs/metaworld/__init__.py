"""Meta-World's tasks (arXiv:1910.10897, arXiv:2505.11289) as pure functions.

Scenes and constants come from the installed `metaworld` package (MIT, Farama Foundation); rewards are its second design
(v2) or its first, written anew. A name is `metaworld/WHAT/option/...`:

- WHAT is a suite ("ML10": goal hidden; "MT10": goal shown; both with the package's task vectors), or one or several
  families joined by "+" ("reach-v3+push-v3": goal hidden, fresh task vectors).
- "ml1", "mt1": the package's vectors for families, goal hidden (50 for training, 50 for test) or shown (50 for both).
- "fresh": the training tasks are fresh vectors, drawn from the space that the package's come from; test tasks stay.
- "seed=3": the package's vectors of that seed; 0 where left out.
- "v1": the package's first reward design, for the families of MT10 and ML10 and a few more.
- "one-hot": observations end with which member of the suite this is.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from ...errors import ConfigError, lookup
from ...types import MetaEnv, Suite
from .env import HORIZON, MetaWorldEnv, Variant, step_together
from .family import Moment, Verdict
from .suites import SUITES, Split, draw_vectors, suite_vectors
from .tasks import FAMILIES

__all__ = ["FAMILIES", "MetaWorldEnv", "Name", "make", "parse"]


class Name(NamedTuple):
    """The parts of a name."""

    what: str  # suite, or families
    form: str | None = None  # "ml1" or "mt1"
    fresh: bool = False
    seed: int = 0
    one_hot: bool = False
    reward: str = "v2"

    def families(self, split: Split) -> tuple[str, ...]:
        """Names of the families; suites without test tasks are tested on those they train on."""
        if self.what in SUITES:
            return SUITES[self.what].get(split, SUITES[self.what]["train"])
        return tuple(dict.fromkeys(self.what.split("+")))

    @property
    def shows_goal(self) -> bool:
        return self.what.startswith("MT") or self.form == "mt1"


def make(name: str, physics: str, horizon: int | None, split: Split) -> MetaEnv | Suite:
    """Builds what a name of Meta-World stands for, for one of its splits; ConfigError where it stands for nothing."""
    options = parse(name)
    what, names = options.what, options.families(split)
    if options.one_hot and options.families("train") != options.families("test"):
        raise ConfigError(
            f"{name!r}: labels say which of the training families a task is of, and those of the test are others: leave "
            "'one-hot' out, or take an MT suite."
        )
    fresh = options.fresh and split == "train"
    if what in SUITES:
        fixed = not fresh
        vectors = suite_vectors(what, options.seed, split if split in SUITES[what] else "train") if fixed else {}
    else:
        fixed = options.form is not None and not fresh
        vectors = draw_vectors(names, options.seed + (options.form == "ml1" and split == "test")) if fixed else {}

    def member(index: int, family_name: str) -> MetaWorldEnv:
        variant = Variant(
            tasks=jnp.asarray(vectors[family_name], float) if fixed else None,
            show_goal=options.shows_goal,
            label=jnp.eye(len(names))[index] if options.one_hot else jnp.zeros(0),
            reward=_reward(family_name, options.reward),
        )
        own_name = name if len(names) == 1 else family_name
        return MetaWorldEnv(own_name, FAMILIES[family_name], variant, physics, horizon or HORIZON)

    members = tuple(member(index, family_name) for index, family_name in enumerate(names))
    if len(members) == 1:
        return members[0]
    return Suite(members[0].spec._replace(name=name), members, step_together(members))


def _reward(family_name: str, version: str) -> Callable[[Moment], Verdict]:
    reward = {"v1": FAMILIES[family_name].reward_v1, "v2": FAMILIES[family_name].reward}[version]
    if reward is None:
        names = ", ".join(name for name, other in FAMILIES.items() if other.reward_v1 is not None)
        raise ConfigError(f"{family_name!r} has no reward 'v1' here: leave the option out, or take {names}.")
    return reward


def parse(name: str) -> Name:
    """The parts of a name `metaworld/WHAT/option/...`; ConfigError where one is unknown."""
    _, what, *parts = name.split("/")
    options = Name(what)
    kinds = ["seed" if part.startswith("seed=") else part for part in parts]
    if len({"ml1" if kind == "mt1" else kind for kind in kinds}) < len(kinds):  # of ml1 and mt1 there is one
        raise ConfigError(f"{name!r} names an option twice, or both 'ml1' and 'mt1': leave one out.")
    for part in parts:
        if part.startswith("seed=") and part[5:].isdecimal() and len(part) <= 15 and int(part[5:]) < 2**32:
            options = options._replace(seed=int(part[5:]))
            continue
        known = {
            "ml1": {"form": "ml1"},
            "mt1": {"form": "mt1"},
            "fresh": {"fresh": True},
            "one-hot": {"one_hot": True},
            "v1": {"reward": "v1"},
            "seed=0": {},
        }
        options = options._replace(**lookup(part, known, f"option of {name!r}"))
    if what in SUITES and options.form is not None:
        raise ConfigError(f"{name!r}: {options.form!r} is an option of single tasks, not of suites.")
    if len(set(what.split("+"))) < what.count("+") + 1:
        raise ConfigError(f"{name!r} names a task twice: leave one out.")
    for family in options.families("train"):
        lookup(family, dict.fromkeys((*FAMILIES, *SUITES)), "Meta-World task or suite")
    return options
