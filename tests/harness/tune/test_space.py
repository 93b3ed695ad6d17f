"""What may vary, and when: the space against Optuna's own account of it."""

from pathlib import Path

import optuna
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.harness.tune.batch import suggested
from lengthwise.harness.tune.space import Parameter

from tests.harness.tune.tiny_study import STUDY, study

CONDITIONAL = STUDY.replace(
    "objective: area",
    """\
  train.schedule: {choice: [cosine, constant]}
  train.warmup_steps: {integer: [1, 8], when: {train.schedule: cosine}}
  train.optimizer.beta2: {uniform: [0.9, 0.999], when: {train.schedule: [constant]}}
objective: area""",
)


def parameters(folder: Path, label: str) -> tuple[Parameter, ...]:
    made = study(folder, text=CONDITIONAL)
    return next(each.parameters for each in made.contenders if each.label == label)


def test_a_condition_on_an_architecture_concerns_that_one_alone(tmp_path: Path) -> None:
    assert "architecture.heads" not in [p.path for p in parameters(tmp_path, "attention")]
    assert "architecture.heads" in [p.path for p in parameters(tmp_path, "gated_delta_net")]


def test_a_condition_on_another_parameter_holds_in_every_trial(tmp_path: Path) -> None:
    space = parameters(tmp_path, "attention")
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: set[str] = set()
    for _ in range(20):
        trial = asked.ask()
        chosen = suggested(trial, space)
        assert ("train.warmup_steps" in chosen) == (chosen["train.schedule"] == "cosine")
        assert ("train.optimizer.beta2" in chosen) == (chosen["train.schedule"] == "constant")
        assert chosen == trial.params
        assert all(p.holds(chosen[p.path]) for p in space if p.path in chosen)
        seen.add(chosen["train.schedule"])
        asked.tell(trial, 0)
    assert seen == {"cosine", "constant"}


def test_the_default_setting_has_the_parameters_that_play_a_part_in_it(tmp_path: Path) -> None:
    made = study(tmp_path, text=CONDITIONAL)
    for contender in made.contenders:
        assert contender.default["train.warmup_steps"] == 2
        assert "train.optimizer.beta2" not in contender.default
        assert contender.default_is_inside


def test_a_default_outside_the_space_is_no_trial(tmp_path: Path) -> None:
    made = study(tmp_path, "train.optimizer.lr=0.5")
    assert not any(each.default_is_inside for each in made.contenders)


NUMBERS = st.floats(1e-6, 1e3)


@given(ends=st.tuples(NUMBERS, NUMBERS).filter(lambda ends: ends[0] < ends[1]), log=st.booleans())
def test_whatever_optuna_draws_from_a_range_the_range_holds(
    ends: tuple[float, float], log: bool
) -> None:
    parameter = Parameter("train.optimizer.lr", "log" if log else "uniform", ends, {})
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    (value,) = suggested(asked.ask(), [parameter]).values()
    assert parameter.holds(value)
    assert not parameter.holds(ends[0] / 2)
    assert not parameter.holds(ends[1] * 2)
    assert not parameter.holds(True)
    assert not parameter.holds("text")
