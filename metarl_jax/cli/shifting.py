"""`metarl evaluate --shift`."""

import dataclasses
import json
from typing import Any

from ..config import SettledEvaluation
from ..evaluation import parameters_of, unstable_notes
from ..experiments.agent import Agent
from ..experiments.parts import make_judged_env
from ..policies import make_judged_act
from ..runs import agents, judging, runlog, shift
from ..runs.signals import interruptibly
from ..show import console
from ..show.shift import draw_shift, print_shift
from .options import differences, spell


def evaluate_shift(options: Any, agent: Agent, asked: dict[str, Any]) -> int:
    """Judges a run where a number of its tasks takes one value after the other; `asked` is what differs from its evaluation."""
    config, algorithm, state = agent.config, agent.algorithm, agent.state
    values = shift.parse(options.shift)
    parameter = shift.find(values, parameters_of(agent.env), agent.spec.name)
    evaluated = dataclasses.replace(config.evaluation, **asked)
    env = make_judged_env(dataclasses.replace(config, physics=agent.physics, evaluation=evaluated), agent.spec)
    settings = evaluated.following(algorithm.adaptation, options.actions)
    play = judging.make_play(settings, algorithm, env, make_judged_act(options.actions, config.policy, agent.spec))
    tasks, key = judging.draw_tasks(settings, env), judging.episodes_key(settings, config.seed)
    with console.waiting(f"evaluating: {settings.tasks} tasks at each of {values.size} values of {values.name}"):
        report = interruptibly(lambda: shift.study(parameter, play, (agent.env, env), state, tasks, key))
    steps = options.steps or tuple(sorted({0, settings.steps}))
    notes = judging.differences(settings, algorithm.adaptation, agent.spec, env.spec)
    worlds = settings.tasks * settings.episodes * (settings.steps + 1) * values.size
    notes += unstable_notes(sum(report.get("unstable_worlds", [])), worlds)
    if report["distinct_tasks"] == 1 < settings.tasks:
        notes.append(f"a value is all that there is to a task: intervals are over {settings.tasks} times its episodes")
    report |= {"env": config.env, "iteration": int(state.step), "seed": config.seed, "task_seed": settings.seed}
    report |= {"episodes": settings.episodes, "actions": settings.actions, "horizon": env.spec.horizon}
    report |= {"physics": agent.physics, "notes": notes}
    print_shift(report, steps)
    name = f"shift-{values.name}-{values.low!r}..{values.high!r}-{values.size}-iteration-{int(state.step)}"
    name += changes(agent, settings)
    out = options.out or agents.home(options.run)
    written = out / "eval" / f"{name}.json", out / "plots" / f"{name}.png"
    with runlog.readable_errors(out, "--out"):
        runlog.write_atomically(written[0], json.dumps(report))
        draw_shift(report, steps, written[1])
    print("written: " + " and ".join(map(str, written)))
    return 0


def changes(agent: Agent, settings: SettledEvaluation) -> str:
    """What sets an evaluation apart from the run's own, as the end of a file's name."""
    changed = differences(agent.config.evaluation.following(agent.algorithm.adaptation), settings)
    return spell(changed | agent.other_physics)
