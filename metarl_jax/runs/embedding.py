"""What an agent knows of its tasks as points, and how these lie to what the tasks are."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.spatial.distance
import scipy.stats

from .. import evaluation
from ..types import Algorithm, Key, MetaEnv, RunState, Suite, Task

NEIGHBOURS = 5


class Seen(NamedTuple):
    """N adaptations of K steps: to one task again and again, or to as many tasks."""

    returns: np.ndarray  # [K + 1, N], undiscounted
    surprise: np.ndarray  # [K + 1, N], estimates of the entropy of the actions
    knowledge: np.ndarray  # [K + 1, N, D]; D is 0 where nothing adapts


class Embedding(NamedTuple):
    """N tasks after 0 to K adaptation steps."""

    points: np.ndarray  # [K + 1, N, D]
    tasks: list[np.ndarray]  # what the tasks of each environment are, [N/M, P] each
    families: list[str]  # [N], names of these environments


def observe(
    algorithm: Algorithm,
    env: MetaEnv | Suite,
    state: RunState,
    tasks: Task,
    key: Key,
    shape: tuple[int, int],
    steps: int,
) -> Seen:
    """Adapts to N tasks with E episodes a step, `shape` being (N, E); see `evaluation.adaptation`."""

    @jax.jit
    def adapt(state: RunState, tasks: Task, key: Key) -> tuple[Any, ...]:
        params, histories, curve = evaluation.adaptation(algorithm, env, state, tasks, key, shape, steps)
        nothing = jnp.zeros((steps + 1, shape[0], 0))
        knows = algorithm.knowledge
        return curve.returns, curve.surprise, nothing if knows is None else jax.vmap(knows)(params, histories)

    return Seen(*(np.asarray(x, np.float64) for x in adapt(state, tasks, key)))


def describe_tasks(env: MetaEnv | Suite, tasks: Task, num_tasks: int) -> tuple[list[np.ndarray], list[str]]:
    """What the tasks of each environment are, `[N/M, P]`, and of which each of the N is."""
    if isinstance(env, Suite):
        share = num_tasks // len(env.envs)
        parts = [describe_tasks(*each, share) for each in zip(env.envs, tasks, strict=True)]
        return [part[0][0] for part in parts], [name for part in parts for name in part[1]]
    columns = [np.asarray(x, np.float64).reshape(num_tasks, -1) for x in jax.tree.leaves(tasks)]
    return [np.concatenate(columns, axis=1)], [env.spec.name] * num_tasks


def named_numbers(env: MetaEnv | Suite, tasks: Task) -> dict[str, np.ndarray]:
    """The numbers of N tasks that have names, `[N]` each, by name and unit; {} where none has, and of a suite."""
    return {
        name + (f" ({parameter.unit})" if parameter.unit else ""): np.asarray(jax.vmap(parameter.of)(tasks), np.float64)
        for name, parameter in evaluation.parameters_of(env).items()
    }


def principal(points: np.ndarray, size: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The first principal components of points `[..., D]`, `[..., size]`, and the share of the variance that each explains.

    One basis for all of them, so that steps can be compared; fewer than `size` dimensions are filled up with 0.
    """
    flat = points.reshape(-1, points.shape[-1])
    centred = flat - flat.mean(axis=0)
    _, singular, basis = np.linalg.svd(centred, full_matrices=False)
    share = singular**2 / max((singular**2).sum(), np.finfo(float).tiny)
    found = centred @ basis[:size].T
    missing = size - found.shape[1]
    found, share = np.pad(found, ((0, 0), (0, max(missing, 0)))), np.pad(share[:size], (0, max(missing, 0)))
    return found.reshape(*points.shape[:-1], size), share


def relations(embedding: Embedding) -> list[dict[str, Any]]:
    """For each step: how embeddings lie to tasks.

    `distance_correlation`: Spearman's, of distances between embeddings and distances between tasks, over pairs of tasks of one
    environment (mean over environments; None where there are too few, or where all are the same). `linear_correlation`: of each
    number of a task with its prediction by a ridge regression on the embeddings of all other tasks; of one environment alone.
    `same_family`: share of the 5 nearest neighbours that are of the same environment, beside what chance gives; of suites alone.
    """
    starts = np.cumsum([0, *(len(x) for x in embedding.tasks)])
    rows = []
    for step, points in enumerate(embedding.points):
        parts = [points[a:b] for a, b in itertools.pairwise(starts)]
        pairs = [distance_correlation(*each) for each in zip(parts, embedding.tasks, strict=True)]
        known = [x for x in pairs if x is not None]
        row: dict[str, Any] = {"step": step, "distance_correlation": float(np.mean(known)) if known else None}
        if len(parts) == 1:
            row["linear_correlation"] = [linear_correlation(points, number) for number in embedding.tasks[0].T]
        else:
            row["same_family"], row["chance"] = same_family(points, embedding.families)
        rows.append(row)
    return rows


def distance_correlation(points: np.ndarray, tasks: np.ndarray) -> float | None:
    """Spearman's correlation of the distances between points `[N, D]` and between tasks `[N, P]`; None where one is constant."""
    if len(points) < 3:
        return None
    between = scipy.spatial.distance.pdist(points), scipy.spatial.distance.pdist(tasks)
    if min(np.ptp(x) for x in between) == 0.0:
        return None
    return float(scipy.stats.spearmanr(*between).statistic)


def linear_correlation(points: np.ndarray, number: np.ndarray, ridge: float = 1e-3) -> float | None:
    """Pearson's correlation of `[N]` with what a ridge regression on points `[N, D]` of all others predicts; None where constant.

    `ridge` is a share of the points' whole variance.
    """
    if len(points) < 3 or np.ptp(number) == 0.0 or np.ptp(points, axis=0).max() == 0.0:
        return None
    centred = points - points.mean(axis=0)
    gram = centred @ centred.T
    # Leave-one-out by the hat matrix: a prediction without its own row is (fit - h y) / (1 - h).
    hat = gram @ np.linalg.inv(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram))) + 1.0 / len(gram)
    own = np.diag(hat)
    target = number - number.mean()
    predicted = (hat @ target - own * target) / (1.0 - own)
    return float(np.corrcoef(predicted, target)[0, 1]) if np.ptp(predicted) else None


def same_family(points: np.ndarray, families: list[str]) -> tuple[float, float]:
    """Share of each point's nearest neighbours that are of its family, and what it is where families say nothing."""
    distances = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(points))
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(points) - 1)]
    same = np.equal.outer(np.array(families), np.array(families))
    np.fill_diagonal(same, False)
    return float(np.take_along_axis(same, nearest, axis=1).mean()), float(
        same.sum() / (len(points) * (len(points) - 1))
    )
