"""What the evaluators count, with agents whose success is known."""

import contextlib
import pickle

import numpy as np
import pytest
from metaworld.evaluation import Timestep
from metaworld.policies import ENV_POLICY_MAP

from metarl_jax.benchmarks.metaworld import evaluators, host, reference
from metarl_jax.benchmarks.metaworld.workers import WorkerEnvs


class Expert:
    """The package's scripted policies; environments that are not `able` get no action. Goals hidden from it are `told`."""

    def __init__(self, names, able=True, told=None):
        self._policies = [ENV_POLICY_MAP[name]() for name in names]
        self._able, self._told = np.broadcast_to(able, len(names)), told
        self.adapted_to = []

    def eval_action(self, observations):
        obs = np.array(observations)
        if self._told is not None:
            obs[:, -3:] = self._told
        actions = np.zeros((len(obs), 4))
        for index in np.flatnonzero(self._able):
            actions[index] = np.clip(self._policies[index].get_action(obs[index].copy()), -1, 1)
        return actions

    def init(self):
        self._timesteps = []

    def adapt_action(self, observations):
        return self.eval_action(observations), {}

    def step(self, timestep):
        assert isinstance(timestep, Timestep)
        self._timesteps.append(timestep)

    def adapt(self):
        self.adapted_to.append(len(self._timesteps))

    def reset(self, env_mask):
        assert env_mask.dtype == bool


@pytest.fixture(scope="module")
def ten_goals():
    """The first ten test goals of ML1-reach, and one environment for each."""
    suite = host.make_suite("ML1-reach-v3", "test", 0)
    suite = suite._replace(tasks={name: tasks[:10] for name, tasks in suite.tasks.items()})
    made = host.environments(suite, 10, 10, host.Wrapping(0, 180, "v2"))
    with contextlib.closing(WorkerEnvs(made.makers, made.names)) as envs:
        yield suite, envs


@pytest.mark.filterwarnings("ignore:Constant")  # of the scripted policies: "... may be too high"
def test_one_solved_goal_of_ten_is_all_or_a_tenth(ten_goals, monkeypatch):
    suite, envs = ten_goals
    goals = reference.task_vectors(suite.tasks["reach-v3"])[:, 3:]
    agent = Expert(envs.names, able=np.arange(10) == 4, told=goals)
    monkeypatch.setattr(evaluators, "NUM_EVALS", 1)
    monkeypatch.setattr(evaluators, "ADAPTATION_EPISODES", 1)
    result = evaluators.official(agent, envs, suite)
    assert result == {"success": 1.0, "task_success": {"reach-v3": 1.0}}
    result = evaluators.per_goal(agent, envs, suite, 180, (0,), 2)
    assert result["mean"] == [0.1] and result["task_success"]["reach-v3"]["mean"] == [0.1]
    np.testing.assert_array_equal(result["goal_success"]["reach-v3"], [np.arange(10) == 4])
    low, high = result["mean_interval"][0]
    assert low == 0.0 and 0.1 < high < 0.5


def test_points_of_the_curve_see_the_first_episodes(ten_goals):
    """One adaptation for each point but 0, to that many whole episodes."""
    suite, _ = ten_goals
    short = suite._replace(tasks={"reach-v3": suite.tasks["reach-v3"][:2]})
    made = host.environments(short, 1, 1, host.Wrapping(0, 6, "v2"))
    agent = Expert(made.names, able=False)
    with contextlib.closing(WorkerEnvs(made.makers, made.names)) as envs:
        result = evaluators.per_goal(agent, envs, short, 6, (0, 1, 3), 1)
    assert agent.adapted_to == [6, 18] * 2  # one environment: two rounds for two goals
    assert result["adaptation_episodes"] == [0, 1, 3] and len(result["mean_interval"]) == 3


def test_further_steps_see_episodes_of_their_own(ten_goals):
    """Two steps of each point but 0: of the first the agent remembers all that it is shown, of the second as many more."""
    suite, _ = ten_goals
    short = suite._replace(tasks={"reach-v3": suite.tasks["reach-v3"][:1]})
    made = host.environments(short, 1, 1, host.Wrapping(0, 6, "v2"))
    agent, steps = Expert(made.names, able=False), []
    with contextlib.closing(WorkerEnvs(made.makers, made.names, on_step=steps.append)) as envs:
        evaluators.per_goal(agent, envs, short, 6, (0, 1, 3), 1, steps=2)
    assert agent.adapted_to == [6, 12, 18, 36]
    assert sum(steps) == 6 * (3 + 1 + 3 + 3 * 1)


def test_every_goal_of_a_multi_task_suite_is_played():
    """Its environments draw goals at resets unless told not to; here each goal, which is seen, comes twice, in order."""
    suite = host.make_suite("MT1-reach-v3", "train", 0)
    suite = suite._replace(tasks={name: tasks[:6] for name, tasks in suite.tasks.items()})
    made = host.environments(suite, 2, 6, host.Wrapping(0, 3, "v2"))
    seen = []

    class Watcher(Expert):
        def eval_action(self, observations):
            seen.append(observations[:, -3:].copy())
            return super().eval_action(observations)

    with contextlib.closing(WorkerEnvs(made.makers, made.names)) as envs:
        evaluators.per_goal(Watcher(made.names, able=False), envs, suite, 3, (0,), 2)
    goals = reference.task_vectors(suite.tasks["reach-v3"])[:, 3:].reshape(3, 1, 2, 3)
    np.testing.assert_allclose(np.array(seen).reshape(3, 6, 2, 3), np.repeat(goals, 6, axis=1), atol=1e-7)


@pytest.mark.parametrize("name", ["reach-v3", "drawer-close-v3", "push-v3"])
@pytest.mark.filterwarnings("ignore:Constant")
def test_experts_through_the_bridge(name):
    """Their successes, and the steps they take, on four goals are those of the package's environment stepped directly."""
    horizon, goals = 85, 4
    suite = host.make_suite(f"MT1-{name}", "train", 0)
    made = host.environments(suite, goals, goals, host.Wrapping(0, horizon, "v2"))
    steps = []
    with contextlib.closing(WorkerEnvs(made.makers, made.names, on_step=steps.append)) as envs:
        evaluators.set_goals(envs, suite.tasks[name][:goals])
        success = evaluators.success_of_each(Expert(envs.names), envs, 1)
    solved_at = [_solved_at(suite.classes[name](), name, task, horizon) for task in suite.tasks[name][:goals]]
    np.testing.assert_array_equal(success, [at is not None for at in solved_at])
    assert sum(steps) == sum(horizon if at is None else at for at in solved_at)
    assert success.any()


def _solved_at(env, name, task, horizon):
    """The step at which the package's expert solves a task of the package's environment, or None."""
    env.set_task(task)
    (obs, _), policy = env.reset(), ENV_POLICY_MAP[name]()
    for step in range(1, horizon + 1):
        obs, _, _, _, info = env.step(np.clip(policy.get_action(obs.copy()), -1, 1))
        if info["success"]:
            return step
    return None


def test_plans():
    """Environments divide the goals evenly; of each name the package shares 40 goals among 20 environments."""

    def suite(kind, count):
        names = [f"task-{i}" for i in range(count)]
        return host.HostSuite(kind, "test", dict.fromkeys(names), {name: list(range(50)) for name in names}, ())

    wrapping = host.Wrapping(0, 500, "v2")
    for kind, count, per_task in (("ML1", 1, 25), ("ML10", 5, 5), ("ML10", 10, 2), ("MT25", 25, 1), ("MT50", 50, 1)):
        plan = evaluators.plan_per_goal(suite(kind, count), wrapping, (0, 10), 3, steps=2)
        assert len(plan.environments.makers) == per_task * count
        assert plan.max_steps == count * 50 * 500 * (10 + 10 + 2 * 3)
    for count, per_task in ((1, 20), (5, 4), (10, 2), (45, 1)):
        plan = evaluators.plan_official(suite("ML10", count), wrapping)
        assert len(plan.environments.names) == per_task * count
        shares = [maker.keywords["tasks"] for maker in plan.environments.makers[:per_task]]
        assert (
            sorted(goal for share in shares for goal in share) == list(range(40))
            and len({len(share) for share in shares}) == 1
        )
        assert plan.environments.makers[0].keywords["task_select"] == "pseudorandom"
    multi = evaluators.plan_official(suite("MT10", 10), wrapping)
    assert len(multi.environments.makers) == 10 and multi.max_steps == 10 * 50 * 500
    assert multi.environments.makers[0].keywords["task_select"] == "random"


@pytest.mark.parametrize(
    ("name", "split", "overlap"),
    [("ML25", "test", ("basketball-v3",)), ("ML25", "train", ()), ("ML1-reach-v3", "test", ()), ("MT10", "train", ())],
)
def test_suites_are_those_of_the_benchmark_classes(name, split, overlap, monkeypatch):
    """Names, goal visibility and overlap; that goals take long to draw is the package's, hence fewer."""
    monkeypatch.setattr("metaworld._N_GOALS", 1)
    suite = host.make_suite(name, split, 0)
    assert tuple(suite.classes) == host.task_names(name, split) and suite.overlap == overlap
    for tasks in suite.tasks.values():
        assert [pickle.loads(task.data)["partially_observable"] for task in tasks] == [name[:2] == "ML"]
