"""How a run does where one number of its tasks leaves the range that it was trained on."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import evaluation
from ..errors import ConfigError
from ..evaluation import Curve, over_tasks
from ..types import Array, Key, MetaEnv, Parameter, RunState, Suite, Task

MOST_VALUES = 100


class Values(NamedTuple):
    """What is asked for: NAME=LOW..HIGH:STEPS."""

    name: str
    low: float
    high: float
    size: int

    @property
    def each(self) -> np.ndarray:
        """`[V]`, equally far apart."""
        return np.linspace(self.low, self.high, self.size)


class Shift(NamedTuple):
    """A number of the tasks and the values that it takes in turn."""

    name: str
    parameter: Parameter
    values: np.ndarray  # [V]

    @property
    def inside(self) -> np.ndarray:
        """`[V]` bool: whether training has tasks of this value."""
        low, high = self.parameter.trained
        margin = 1e-6 * max(1.0, abs(low), abs(high))  # of rounding, in float32
        return (self.values >= low - margin) & (self.values <= high + margin)


def parse(text: str) -> Values:
    """The parts of NAME=LOW..HIGH:STEPS; ConfigError where it is none."""
    found = re.fullmatch(r"([\w-]+)=(.+?)\.\.(.+):(\d{1,9})", text)
    try:
        name, low, high, count = found.groups() if found else (text,) * 4
        values = Values(name, float(low), float(high), int(count))
    except ValueError:
        raise ConfigError(f"--shift {text}: write NAME=LOW..HIGH:STEPS, speed=0..5:11 for example.") from None
    if not (np.isfinite([values.low, values.high]).all() and values.low < values.high):
        raise ConfigError(f"--shift {text}: LOW and HIGH must be finite, and LOW the smaller one.")
    if not 2 <= values.size <= MOST_VALUES:
        raise ConfigError(f"--shift {text}: STEPS, the number of values, must lie in [2, {MOST_VALUES}].")
    return values


def find(values: Values, parameters: Mapping[str, Parameter], env_name: str) -> Shift:
    """What the parameter of that name would be; ConfigError where there is none, or where it cannot be that."""
    if not parameters:
        raise ConfigError(
            f"--shift: no number of the tasks of {env_name!r} can be set; `metarl list` shows environments, and speeds, goals, "
            "masses and the objects of single Meta-World tasks have such."
        )
    if values.name not in parameters:
        raise ConfigError(
            f"--shift: the tasks of {env_name!r} have no {values.name!r}: choose from {_named(parameters)}."
        )
    parameter = parameters[values.name]
    low, high = parameter.limits
    if values.low < low or values.high > high:
        raise ConfigError(
            f"--shift: {values.name} must lie in [{low:.6g}, {high:.6g}], not {values.low:g}..{values.high:g}."
        )
    return Shift(values.name, parameter, values.each)


def _named(parameters: Mapping[str, Parameter]) -> str:
    """Their names, and what they are in training."""
    units = {name: f" {p.unit}" if p.unit else "" for name, p in parameters.items()}
    return ", ".join(f"{name} ({p.trained[0]:.3g}..{p.trained[1]:.3g}{units[name]})" for name, p in parameters.items())


def move(parameter: Parameter, tasks: Task, value: float | Array) -> Task:
    """N tasks, leaves `[N, ...]`, with this value, and otherwise as they were."""
    return jax.vmap(parameter.at, in_axes=(0, None))(tasks, jnp.asarray(value, float))


def study(
    shift: Shift,
    play: Callable[[RunState, Task, Key], Curve],
    envs: tuple[MetaEnv | Suite, MetaEnv | Suite],
    state: RunState,
    tasks: Task,
    key: Key,
) -> dict[str, Any]:
    """Judges a state on the same tasks, starts and draws for each value, and sums up what lies inside and outside.

    Args:
      shift: the values.
      play: see `judging.make_play`.
      envs: what the run trained on, and what it is judged on.
      state: of the run.
      tasks: N of the latter.
      key: of episodes and actions.

    Returns:
      By `return` (and `success`), a list over the adaptation steps 0..K: estimates by value, and those of means over the values
      inside of the trained range, outside, and of what the former is more than the latter. A mean counts the same tasks at all
      of its values; an interval is over tasks, and where the value is all that there is to a task, over rows of episodes.
    """
    curves, rows = [], []
    for value in shift.values:
        moved = move(shift.parameter, tasks, value)
        curves.append(jax.tree.map(np.asarray, play(state, moved, key)))
        count = curves[-1].returns.shape[1]
        rows.append(evaluation.population(*envs, moved, count).rows)
    kinds = {"return": np.stack([curve.returns for curve in curves])}  # [V, K + 1, N]
    if envs[1].spec.has_success:
        kinds["success"] = np.stack([curve.success for curve in curves])
    # Values of which one makes two tasks one (as a radius of 0 does) are rare: rows are named as at most of them.
    most = max(rows, key=lambda row: len(set(row.task)))
    rows_of_all = most._replace(all_tasks=len(set(most.task)) == 1)
    report: dict[str, Any] = {
        "parameter": shift.name,
        "unit": shift.parameter.unit,
        "trained": list(shift.parameter.trained),
        "values": shift.values.tolist(),
        "inside": shift.inside.tolist(),
        "distinct_tasks": len(set(most.task)),
    }
    for what, outcomes in kinds.items():
        report[what] = [_sum_up(step, shift.inside, rows_of_all) for step in np.moveaxis(outcomes, 1, 0)]
        report[what + "_of_each"] = outcomes.tolist()
    unstable = [curve.unstable for curve in curves if curve.unstable is not None]
    if unstable:
        report["unstable_worlds"] = np.stack(unstable).sum(axis=1).tolist()
    return report


def _sum_up(outcomes: np.ndarray, inside: np.ndarray, rows: evaluation.Rows) -> dict[str, Any]:
    """Of one adaptation step, `[V, N]`."""
    by_value = [over_tasks(x, rows) for x in outcomes]
    found: dict[str, Any] = {"by_value": evaluation.by_point(by_value)}
    means = {name: outcomes[at].mean(axis=0) for name, at in (("inside", inside), ("outside", ~inside)) if at.any()}
    if len(means) == 2:
        means["difference"] = means["inside"] - means["outside"]
    return found | {name: over_tasks(x, rows)._asdict() for name, x in means.items()}
