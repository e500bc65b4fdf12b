"""A trained run as an agent: it adapts to a task, and acts there."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import evaluation, rollout
from ..config import EvaluationConfig, ExperimentConfig, with_fields
from ..errors import ConfigError, lookup
from ..policies import ACTIONS, make_judged_act
from ..runs import agents, judging
from ..runs.judging import Judge
from ..runs.signals import interruptibly
from ..types import Algorithm, Array, EnvSpec, History, Key, MetaEnv, Params, RunState, Suite, Task
from .parts import check_fits, make_env, make_judged_env, restore
from .task_policy import Functions, TaskPolicy, checked_obs


def load(run: str | Path, checkpoint: str = "latest", physics: str | None = None) -> "Agent":
    """The agent that a run has trained, or one that is shipped.

    Args:
      run: its directory, that of an exported agent, or `agent:NAME`.
      checkpoint: `latest` or `best` (see `evaluation.every`).
      physics: backend of environments; the run's own where left out.

    Raises:
      ConfigError: there is no run, it was made by another version, or no checkpoint of it is whole.
    """
    lookup(checkpoint, {"latest": 0, "best": 0}, "checkpoint")
    config = agents.read_config(Path(run))
    here = config if physics is None else dataclasses.replace(config, physics=physics)
    env = make_env(here, "train")
    algorithm, state = restore(Path(run), config, env, checkpoint)
    return Agent(config, here.physics, env, algorithm, state)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Agent:
    """What a run has learned.

        agent = metarl_jax.load("runs/ant")
        policy = agent.adapt(task=3)  # plays episodes of task 3, and learns from them as it was trained to
        action = policy.act(obs)

    The parts are there for programs of one's own: `agent.algorithm.act(agent.state, params)` is a pure function.
    """

    config: ExperimentConfig  # of the run
    physics: str  # backend of the environments that it makes
    env: MetaEnv | Suite  # that it was trained on
    algorithm: Algorithm
    state: RunState

    def __repr__(self) -> str:
        config = self.config
        return f"<Agent {config.preset}: {config.algorithm.name} on {config.env}, iteration {int(self.state.step)}>"

    @property
    def spec(self) -> EnvSpec:
        """What it observes and does."""
        return self.env.spec

    @property
    def other_physics(self) -> dict[str, str]:
        """{"physics": ...} where its environments step on another backend than the run's; for names of files."""
        return {"physics": self.physics} if self.physics != self.config.physics else {}

    def judge(self, actions: str = "sample", **changes: Any) -> Judge:
        """What `evaluate` asks; its arguments."""
        config = self._judged_config(changes)
        return judging.make_judge(config, self.algorithm, self.env, make_judged_env(config, self.spec), actions)

    def evaluate(self, actions: str = "sample", **changes: Any) -> dict[str, Any]:
        """The adaptation curve on the tasks that the run is judged on, as `metarl evaluate` writes it to eval/*.json.

        Args:
          actions: of judged episodes: `sample`, drawn as in training, or `mode`, the most likely.
          **changes: other values of the fields of `EvaluationConfig`: tasks, episodes, steps, horizon, seed.
        """
        return interruptibly(self.judge(actions, **changes), self.state)

    def begin(self, seed: int = 0) -> TaskPolicy:
        """A policy that knows nothing of its task yet, for an environment of whatever kind; `seed` is that of its draws."""
        params = jax.tree.map(lambda x: x[None], self.algorithm.policy_params(self.state))
        return TaskPolicy(self._functions, params, self._nothing, jax.random.key(seed))

    def adapt(
        self,
        env: str | MetaEnv | Suite | None = None,
        task: int | Task = 0,
        *,
        episodes: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> TaskPolicy:
        """Plays episodes of a task in one of our environments, and learns from them as in training.

        Args:
          env: an environment, or the name of one, whose test tasks are meant; what the run is judged on where left out.
          task: the number of one of the tasks that the run is judged on (`evaluation.seed` draws them), or the task itself, as
            `env.sample_task` returns it; of a suite a number.
          episodes: of each adaptation step; as the run is judged where left out.
          steps: K; as the run is judged where left out.
          seed: of episodes and actions.

        Returns:
          The policy after the last step; its `curve` says how it did before each, and after the last.

        Raises:
          ConfigError: the policy does not fit the environment, or there is no such task.
        """
        changes: dict[str, Any] = {"episodes": episodes, "steps": steps}
        config = self._judged_config({name: x for name, x in changes.items() if x is not None})
        settings = config.evaluation.following(self.algorithm.adaptation)
        if env is None or isinstance(env, str):
            env = self._judged_env(env or config.env)
        check_fits(self.spec, env.spec)
        one, task = _find(env, task, settings)
        key_adapt, key_act = jax.random.split(jax.random.key(seed))
        params, history, curve = interruptibly(
            self._adapt_to_task, self._state, one, settings.episodes, settings.steps, task, key_adapt
        )
        return TaskPolicy(self._functions, params, history, key_act, jax.tree.map(lambda x: x[:, 0], curve))

    def act(self, obs: Any, key: Key | None = None) -> Any:
        """Actions without any adaptation, of policies without a memory; drawn with `key`, the most likely where left out.

        Args:
          obs: `[..., obs_dim]`.
          key: of the draws.

        Returns:
          `[..., action_dim]`, or integers `[...]` where actions are discrete.

        Raises:
          ConfigError: an observation of another size; the policy has a memory, or a belief, for which there is `begin`.
        """
        if self._functions.remembers:
            raise ConfigError(
                f"{self.config.algorithm.name} remembers here what it has seen: act by agent.begin() or adapt()."
            )
        obs = checked_obs(obs, self.spec.obs_dim)
        batch = obs.reshape(1, -1, obs.shape[-1])
        params = jax.tree.map(lambda x: x[None], self.algorithm.policy_params(self.state))
        history = rollout.no_history(self.spec, batch.shape[:2])
        act = self._functions.act["mode" if key is None else "sample"]
        _, sample = act(params, batch, history, jax.random.key(0) if key is None else key, 0)
        return np.asarray(sample.action).reshape(*obs.shape[:-1], *sample.action.shape[2:])

    def _judged_config(self, changes: dict[str, Any]) -> ExperimentConfig:
        here = dataclasses.replace(self.config, physics=self.physics)
        return with_fields(here, {f"evaluation.{name}": value for name, value in changes.items()})

    @functools.cached_property
    def _judged_env(self) -> Callable[[str], MetaEnv | Suite]:
        """Makes one of that name, once: for a new object all would be compiled anew."""
        config = self._judged_config({})
        return functools.cache(lambda name: make_judged_env(dataclasses.replace(config, env=name), self.spec))

    @functools.cached_property
    def _adapt_to_task(self) -> Callable:
        def adapt(state: RunState, env: MetaEnv, episodes: int, steps: int, task: Task, key: Key) -> tuple:
            return evaluation.adapt_to_task(self.algorithm, env, state, task, key, episodes, steps)

        return jax.jit(adapt, static_argnums=(1, 2, 3))

    @functools.cached_property
    def _state(self) -> RunState:
        """What acting and adapting take of the state."""
        return self.state._replace(opt_state=(), kept=self.state.kept._replace(by_task=()))

    @functools.cached_property
    def _nothing(self) -> History:
        """What an episode of one task begins with where nothing is known of it."""
        return rollout.no_history(self.spec, (1, 1), self.algorithm.init_carry((1, 1)))

    @functools.cached_property
    def _functions(self) -> Functions:
        algorithm = self.algorithm

        def act_by(actions: str) -> Callable:
            judged_act = make_judged_act(actions, self.config.policy, self.spec) or (lambda act: act)

            @jax.jit
            def act(state: RunState, params: Params, obs: Array, history: History, key: Key, draw: int) -> Any:
                return judged_act(algorithm.act(state, params))(obs, history, jax.random.fold_in(key, draw))

            return functools.partial(act, self._state)

        learns = algorithm.adaptation.steps > 0 and not algorithm.keeps_history
        return Functions(
            act={actions: act_by(actions) for actions in ACTIONS},
            adapt=functools.partial(jax.jit(algorithm.adapt), self._state) if learns else None,
            remembers=bool(jax.tree.leaves(self._nothing.carry)),
            obs_dim=self.spec.obs_dim,
        )


def _find(env: MetaEnv | Suite, task: int | Task, settings: EvaluationConfig) -> tuple[MetaEnv, Task]:
    """An environment of `env`, itself where it is no suite, and its task, which may be a number among those of `settings`."""
    if not isinstance(task, (int, np.integer)):
        if isinstance(env, Suite):
            raise ConfigError(
                f"{env.spec.name!r} is a suite: name a task by its number, or take one of its environments."
            )
        wanted = jax.eval_shape(
            lambda key: rollout.row(env, rollout.sample_tasks(env, key, 1), 0)[1], jax.random.key(0)
        )
        return env, rollout.checked_tasks(task, wanted, "this task has", f"{env.spec.name!r} have")
    rollout.check_num_tasks(env, settings.tasks, "evaluation.tasks")
    if not 0 <= task < settings.tasks:
        raise ConfigError(
            f"task must lie in [0, {settings.tasks - 1}], the tasks that the run is judged on, not {task}."
        )
    return rollout.row(env, judging.draw_tasks(settings, env), int(task))
