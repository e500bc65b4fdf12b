"""What goes well and what does not where a run adapts to one task: numbers, and a sentence about each of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.spatial.distance

from ..learning.adaptation import flatten
from ..show.plots import student_t
from ..types import EnvSpec, RunState
from .embedding import NEIGHBOURS, Seen
from .metrics import Row

ENOUGH = 19  # training tasks without which not one in twenty of them can be farther off


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    judgement: str  # a sentence
    numbers: dict[str, Any]


class Neighbour(NamedTuple):
    """A training task that is like the one in question."""

    row: int  # among those that it was looked for in
    distance: float  # of the numbers, in standard deviations of training's
    knowledge_distance: float | None
    knowledge_rank: int | None  # 1 is the nearest in what is known, of all training tasks
    return_after: float


def slope(returns: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Of returns `[K + 1, R]` of R repetitions over the steps 0..K: the mean least-squares slope, and its 95 % interval.

    Repetitions are independent, points of one of them are not, since it goes on from what it adapted to: so the interval is
    Student's t of R slopes, not the regression's own.
    """
    steps = np.arange(len(returns)) - (len(returns) - 1) / 2
    slopes = steps @ returns / (steps @ steps)
    half = student_t(len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes))
    return float(slopes.mean()), (float(slopes.mean() - half), float(slopes.mean() + half))


def check_adaptation(returns: np.ndarray) -> Check:
    """Whether returns `[K + 1, R]` grow over adaptation steps."""
    if len(returns) == 1:
        return Check("adaptation", "This run does not adapt: there are no steps to compare.", {})
    mean, (low, high) = slope(returns)
    words = f"{mean:+.3g} of return per step, 95 % interval {low:.3g} to {high:.3g} over {returns.shape[1]} repetitions"
    if low > 0.0:
        judgement = f"Adaptation helps: {words}."
    elif high < 0.0:
        judgement = f"Adaptation does harm: {words}."
    else:
        judgement = f"Adaptation cannot be told from chance: {words}."
    numbers = {"slope": mean, "interval": [low, high], "return_by_step": returns.mean(axis=1).tolist()}
    return Check("adaptation", judgement, numbers)


def check_embedding(mine: np.ndarray, trained: np.ndarray) -> Check:
    """How far what is known of the task `[R, D]`, in R repetitions, lies from what is known of M training tasks `[M, D]`.

    Farther than training tasks lie from each other is judged as in conformal prediction: by the share of them whose nearest
    neighbour is at least as far (of the median repetition, the task counted among them).
    """
    if not mine.shape[1]:
        return Check("embedding", "This run does not adapt: of a task it knows what it knows of all.", {})
    between = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(trained))
    np.fill_diagonal(between, np.inf)
    theirs = between.min(axis=1)
    own = scipy.spatial.distance.cdist(mine, trained).min(axis=1)
    count = len(trained)
    share = float(np.median([(1 + np.sum(theirs >= x)) / (count + 1) for x in own]))
    distance, typical = float(np.median(own)), float(np.median(theirs))
    words = f"{distance:.3g} from the nearest of {count} training tasks, which are {typical:.3g} from each other in the middle"
    if count < ENOUGH:
        judgement = f"Too few training tasks to say whether that is far: {words}."
    elif share <= 0.05:
        judgement = f"What it knows of the task is unlike all that it knows of training's: {words}."
    else:
        judgement = f"What it knows of the task is like what it knows of training's: {words}."
    return Check("embedding", judgement, {"distance": distance, "typical": typical, "share_as_far": share})


def find_neighbours(
    numbers: np.ndarray, trained_numbers: np.ndarray, mine: Seen, trained: Seen
) -> tuple[Check, list[Neighbour]]:
    """The training tasks whose numbers are most like those of the task, and whether what is known of them is, too.

    Args:
      numbers: of the task, `[P]`.
      trained_numbers: of training tasks of the same environment, `[M, P]`.
      mine: repetitions of the task.
      trained: these training tasks.
    """
    spread = trained_numbers.std(axis=0)
    apart = np.linalg.norm((trained_numbers - numbers) / np.where(spread > 0.0, spread, 1.0), axis=1)
    nearest = np.argsort(apart, kind="stable")[:NEIGHBOURS]
    returns = trained.returns[-1]
    here, there = float(mine.returns[-1].mean()), float(returns[nearest].mean())
    found: dict[str, Any] = {"return_after": here, "return_after_of_neighbours": there}
    words = f"after adaptation it earns {here:.3g} here and {there:.3g} there"
    known: list[Any] = [None] * len(apart)
    ranks: list[Any] = known
    judgement = f"The {len(nearest)} training tasks with the nearest numbers: {words}."
    if mine.knowledge.shape[-1]:
        known = scipy.spatial.distance.cdist(mine.knowledge[-1], trained.knowledge[-1]).mean(axis=0).tolist()
        ranks = (np.argsort(np.argsort(known, kind="stable"), kind="stable") + 1).tolist()
        shared = sum(ranks[i] <= len(nearest) for i in nearest)
        chance = len(nearest) ** 2 / len(apart)
        found |= {"shared": shared, "shared_by_chance": chance}
        judgement = (
            f"{shared} of the {len(nearest)} training tasks with the nearest numbers are the nearest in what it knows "
            f"({chance:.1f} by chance); {words}."
        )
    each = [Neighbour(int(i), float(apart[i]), known[i], ranks[i], float(returns[i])) for i in nearest]
    return Check("neighbours", judgement, found), each


def check_entropy(surprise: np.ndarray, spec: EnvSpec, squashed: bool) -> Check:
    """How much the actions vary, from estimates `[K + 1, R]` of their entropy.

    Of numbers as the standard deviation of a Gaussian of that entropy in each, a draw of 1 being the upper bound (`squashed`:
    entropies are of actions within their bounds, not of draws); of discrete actions as how many equally likely ones have it.
    """
    entropy = surprise.mean(axis=1)
    if spec.discrete:
        spread = np.exp(entropy)
        words = (
            f"as if {spread[0]:.2f} of {spec.action_dim} actions were equally likely at first, {spread[-1]:.2f} at last"
        )
        low, high = 1.05, 0.95 * spec.action_dim
    else:
        half_ranges = (np.array(spec.action_high) - np.array(spec.action_low)) / 2
        in_units = entropy - (np.log(half_ranges).sum() if squashed else 0.0)
        spread = np.exp(in_units / spec.action_dim - 0.5 * np.log(2 * np.pi * np.e))
        words = f"standard deviation {spread[0]:.3g} of half the range at first, {spread[-1]:.3g} at last"
        low, high = 0.05, 1.0
    if spread[0] < low:
        judgement = f"Actions hardly vary, so that there is little to learn from: {words}."
    elif spread[-1] > high:
        judgement = f"Actions are nearly random even at last: {words}."
    else:
        judgement = f"Actions vary, and are not random: {words}."
    return Check("entropy", judgement, {"entropy": entropy.tolist(), "spread": spread.tolist()})


def inner_gradients(config: Any, state: RunState, knowledge: np.ndarray) -> np.ndarray | None:
    """Norms `[K, N]` of the gradients that led from policy to policy `[K + 1, N, D]`; None where none does.

    A step of the inner loop is its gradient times its rates (see `learning.adaptation`).
    """
    inner = getattr(config, "inner", None)
    if inner is None or len(knowledge) == 1:
        return None
    rates: Any = inner.lr
    if inner.learn_lr:
        rates = np.asarray(flatten(jax.tree.map(lambda x: jnp.exp(x)[None], state.params["log_rate"])))
    return np.linalg.norm(np.diff(knowledge, axis=0) / rates, axis=-1)


def check_gradients(rows: Sequence[Row], mine: np.ndarray | None, trained: np.ndarray | None, iterations: int) -> Check:
    """The norms of the outer gradients of the run, and of the inner ones `[K, N]`, where there are such."""
    norms = [row.get("outer_grad_norm") for row in rows if row["iteration"] <= iterations]
    numbers: dict[str, Any] = {}
    said = []
    if mine is not None and trained is not None:
        here, there = float(mine.mean()), float(trained.mean())
        numbers |= {"inner": here, "inner_in_training_tasks": there}
        said.append(f"Inner gradients are {here:.3g} here and {there:.3g} on training tasks")
    known = [x for x in norms if x is not None]
    if not known:
        said.append("no norms of outer gradients are left")
        return Check("gradients", "; ".join(said).capitalize() + ".", numbers)
    late, all_of_them = float(np.median(known[-max(1, len(known) // 10) :])), float(np.median(known))
    numbers |= {"outer": late, "outer_in_the_middle": all_of_them, "outer_not_finite": len(norms) - len(known)}
    verdict = "which is steady"
    if len(norms) > len(known):
        verdict = f"and {len(norms) - len(known)} were not finite"
    elif late < 1e-6:
        verdict = "so that nothing is learned any more"
    elif late > 10.0 * all_of_them:
        verdict = "so that training is about to diverge"
    said.append(f"outer gradients were {all_of_them:.3g} in the middle of the run and {late:.3g} at last, {verdict}")
    judgement = "; ".join(said) + "."
    return Check("gradients", judgement[0].upper() + judgement[1:], numbers)
