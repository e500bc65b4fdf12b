"""The records that flow between the rooms.

Axis letters used in every docstring: N tasks, E environments per task, T time steps, K inner steps. Arrays of a rollout
are `[N, E, T, ...]`. Time stands in the name: `obs_tm1` is seen before `action_tm1`, which earns `reward_t` and leads to
`obs_t`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import jax

Array = jax.Array
Key = jax.Array
DType = Any  # of an array, as NumPy names them
Params = Any  # a pytree of arrays
Task = Any  # a pytree of arrays: what distinguishes one task of a family from another
EnvState = Any  # a pytree of arrays
Metrics = dict[str, Array]  # scalars by name
Split = Literal["train", "test"]  # of a family's tasks


class EnvSpec(NamedTuple):
    """What a policy must know of an environment."""

    name: str
    obs_dim: int
    action_dim: int  # numbers in an action; of discrete actions, how many there are to choose from
    horizon: int  # steps after which an episode is cut off; a time limit truncates, it does not terminate
    action_low: tuple[float, ...]  # [action_dim]; may be -inf; () of discrete actions
    action_high: tuple[float, ...]  # [action_dim]; may be +inf; () of discrete actions
    has_success: bool = False  # whether `TimeStep.info["success"]` says that a step solved the task
    num_labels: int = 0  # so many numbers at the end of observations say which task of a suite it is, one-hot
    discrete: bool = False  # an action is one of `action_dim`: an integer [] from 0


class TimeStep(NamedTuple):
    """What an environment says after a reset or a step."""

    obs: Array  # [obs_dim]
    reward: Array  # []; 0 after a reset
    terminated: Array  # [] bool; the task itself ended the episode (a time limit does not)
    # Scalars by name; which ones is fixed per environment. "success": whether the step solved the task. "shaped_reward": what
    # off-policy actors and critics learn from in training in place of a reward that is rarely earned.
    info: dict[str, Array] = {}  # noqa: RUF012
    unstable: Array | None = None  # [] bool; the simulation blew up, so that nothing else here counts; None: it cannot
    truncated: Array | None = None  # [] bool; cut off before its horizon, but not by the task; None: it never is


class Parameter(NamedTuple):
    """A number of a family's tasks that has a name, and that can be set: inside of what training draws, and outside."""

    trained: tuple[float, float]  # lowest and highest in training; equal where it is always the same
    of: Callable[[Task], Array]  # task -> []
    at: Callable[[Task, Array], Task]  # task, value [] -> the task with that value, and otherwise as it was
    unit: str = ""
    limits: tuple[float, float] = (-math.inf, math.inf)  # lowest and highest value that makes a task


class MetaEnv(Protocol):
    """A family of tasks over one environment: unbatched pure functions that the caller vmaps.

    A task is data, never an attribute: it outlives the episode, so that several episodes of one task can be run.
    A family may also have `parameters`, a `Parameter` by name, the one that says most of a task first (see
    `evaluation.parameters_of`).

    Where worlds outlive their episodes, as simulators on the host do, there is also `restart(ended, state, key, task)`, which
    rollouts call in place of `reset` after an episode: a fresh one where `ended`, `[]` bool; elsewhere nothing changes, and what
    it returns is not looked at.
    """

    spec: EnvSpec
    tasks: Task | None  # all tasks, leaves `[M, ...]`, where the family is finite; else None

    def sample_task(self, key: Key) -> Task:
        """Draws one task of the family."""

    def reset(self, key: Key, task: Task) -> tuple[EnvState, TimeStep]:
        """Starts an episode of `task`."""

    def step(self, state: EnvState, action: Array, task: Task) -> tuple[EnvState, TimeStep]:
        """Applies `action` (shape `[action_dim]`, within the bounds of the spec; where it is discrete, an integer `[]`)."""


class Suite(NamedTuple):
    """Several environments behind one policy: equal sizes of observations and actions, equal horizons.

    A batch of N tasks is split evenly over them, in their order: N/M rows for each of M environments, so that shapes are
    static and each simulator steps its own worlds. Tasks and environment states of a suite are tuples over its members.
    """

    spec: EnvSpec
    envs: tuple[MetaEnv, ...]
    # `step` of all members at once, where that is faster: states, actions and tasks, tuples over members with the leading
    # axes `[N/M, E]` (tasks `[N/M]`) -> the members' states and time steps, one after the other.
    step: Callable[[EnvState, tuple[Array, ...], Task], Sequence[tuple[EnvState, TimeStep]]] | None = None


class History(NamedTuple):
    """What a policy brings along from the steps before; it outlives episodes, but neither the task nor the rollout."""

    carry: Any  # of the policy's memory; () where it has none
    action: Array  # [action_dim], the previous one as drawn (a discrete one is one-hot); 0 at the beginning
    reward: Array  # [], the previous one
    last: Array  # [] bool: the previous step ended an episode


class Transition(NamedTuple):
    """One step of experience; in a rollout every field has the leading axes `[N, E, T]`."""

    obs_tm1: Array  # [obs_dim]
    action_tm2: Array  # [action_dim], reward_tm1 and last_tm1: of the step before (see History)
    reward_tm1: Array  # []
    last_tm1: Array  # [] bool
    action_tm1: Array  # [action_dim], as the distribution drew it (see distributions.py: before bounds are applied)
    dist_tm1: Any  # the action distribution that drew it
    log_prob_tm1: Array  # []
    reward_t: Array  # []
    terminated_t: Array  # [] bool
    last_t: Array  # [] bool: the episode ended here, by termination, by the time limit, or cut off as unstable
    obs_t: Array  # [obs_dim]; where last_t, the final observation of the episode, not the first of the next
    time_tm1: Array  # [] int: steps since the episode began
    return_t: Array  # []: undiscounted reward of the episode up to and including reward_t
    success_t: Array  # [] bool: a step of the episode up to and including this one solved the task
    unstable_t: Array | None = (
        None  # [] bool: the simulation blew up: reward_t is 0, obs_t is obs_tm1, and the episode is cut off
    )
    shaped_t: Array | None = None  # []: the shaped reward, where the environment has one
    info_t: dict[str, Array] = {}  # noqa: RUF012 -- what the environment says of the step, where it was asked for


class Kept(NamedTuple):
    """What an algorithm keeps from one iteration to the next beside its parameters."""

    shared: Any = ()  # on every device: the weight of a penalty, target networks
    by_task: Any = ()  # leaves `[N, ...]`, split over the devices as tasks are: standing environments, replay


class RunState(NamedTuple):
    """Everything a run is: saved whole in a checkpoint, it resumes bit for bit.

    There is no random key in it: the key of an iteration is `fold_in(run_keys(seed).iterations, step)`.
    """

    step: Array  # [] int: iterations done
    params: Params  # what the outer loop learns
    opt_state: Any
    obs_stats: Any  # running mean and variance of what policies standardise (normalize.py)
    lr_scale: Array  # []: 1, halved by each roll-back of the training loop
    kept: Kept  # what else this algorithm needs


class Adaptation(NamedTuple):
    """How an algorithm adapts to a task in training; evaluation does the same unless it is told otherwise."""

    steps: int  # K: updates of the policy, or further episodes of a memory; 0 where nothing adapts
    episodes: int | None  # of each task, that a step sees together; None where a step sees one, or nothing adapts


class Algorithm(NamedTuple):
    """A learning algorithm as a tuple of pure functions.

    `adapt` is what meta-test calls, K times: it takes the run state, the current policies of N tasks and fresh experience
    from each (a `Transition` of `[N, E, T]`), and returns the N adapted policies.
    """

    init: Callable[[Key], RunState]
    iterate: Callable[[RunState, Key], tuple[RunState, Metrics]]
    policy_params: Callable[[RunState], Params]  # the policy before adaptation, unbatched
    act: Callable[[RunState, Params], Callable]  # (state, params [N, ...]) -> what `rollout.collect` calls
    init_carry: Callable[[tuple[int, int]], Any]  # (N, E) -> memories that remember nothing, `[N, E, ...]`
    keeps_history: bool  # whether the history of a task outlives a round of episodes at meta-test
    adapt: Callable[[RunState, Params, Transition], Params]
    adaptation: Adaptation
    env_steps_per_iteration: int
    # What checkpoints hold; the rest begins at 0 again.
    checkpointed: Callable[[RunState], RunState] = lambda state: state
    policy: Any = None  # the `policies.Policy` whose parameters `policy_params` are; None where they are something else
    # (policies [N, ...], histories [N, E, ...]) -> what they know of their tasks, [N, D]; None where nothing adapts
    knowledge: Callable[[Params, History], Array] | None = None
    kept_tasks: Callable[[RunState], Task] | None = None  # those of training, where they are drawn once; else None
