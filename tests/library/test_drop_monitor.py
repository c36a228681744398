"""The drop in training: the same questions at every step, nested samples, nothing stale."""

from __future__ import annotations

import pytest

import mmdbench
from mmdbench.errors import IncompleteError, MissingExtraError, MmdbenchError, UnknownNameError, UsageError


def answer(images, prompt):
    return "A"


def monitor_of(bench, folder, model=answer, **options):
    return mmdbench.DropMonitor(model, bench, **{"out": folder, "sample": 4, "codec": "png"} | options)


def asked(run):
    return [(row["question"], row["level"], row["corruption"], row["recipe"]) for row in run.rows()]


@pytest.fixture
def bench(make_tsv):
    return make_tsv(12)


def test_every_measurement_asks_the_same_questions_in_a_folder_of_its_own(bench, tmp_path):
    logged = []
    monitor = monitor_of(bench, tmp_path / "run", log_to=lambda numbers, step: logged.append((step, numbers)))
    first, second = monitor(0), monitor(250)
    assert asked(first) == asked(second)
    assert {level for _, level, _, _ in asked(first)} == {"clean", "hard"}
    assert [run.folder.name for run in (first, second)] == ["step-0", "step-250"]
    assert [step for step, _ in logged] == [0, 250]
    drop = first.drops()[f"answer ({first.results.title('toy')})", "drop"]
    numbers = logged[0][1]
    ends = [numbers[f"robustness/toy/drop_hard{end}"] for end in ("", "_low", "_high")]
    assert ends == [drop.value, drop.low, drop.high]
    assert {"robustness/toy/clean", "robustness/toy/hard_low"} < set(numbers)
    assert mmdbench.compare(first.folder, second.folder) is not None


def test_a_bigger_sample_holds_the_smaller_one(bench, tmp_path):
    small = monitor_of(bench, tmp_path / "small", sample=3)(0)
    large = monitor_of(bench, tmp_path / "large", sample=7)(0)
    assert len(asked(small)) == 6
    assert set(asked(small)) < set(asked(large))


def test_weights_that_changed_are_asked_anew_also_in_the_folder_of_an_earlier_training(bench, tmp_path):
    letter = ["A"]

    def model(images, prompt):
        return letter[0]

    folder = tmp_path / "run"
    assert {row["reply"] for row in monitor_of(bench, folder, model)(10).rows()} == {"A"}
    letter[0] = "B"
    again = monitor_of(bench, folder, model)(10)
    assert {row["reply"] for row in again.rows()} == {"B"}
    assert {row["reply"] for row in mmdbench.load_run(folder / "step-10").rows()} == {"B"}


def test_a_measurement_that_was_stopped_is_asked_anew_from_its_beginning(bench, tmp_path):
    calls, letter = [], ["A"]

    def model(images, prompt):
        calls.append(prompt)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return letter[0]

    with pytest.raises(KeyboardInterrupt):
        monitor_of(bench, tmp_path, model)(10)
    letter[0] = "B"  # the training was begun again at a checkpoint, and its weights are others
    assert {row["reply"] for row in monitor_of(bench, tmp_path, model)(10).rows()} == {"B"}


def test_the_first_error_is_raised_and_a_later_one_does_not_stop_the_training(bench, tmp_path, capfd):
    broken = [True]

    def model(images, prompt):
        if broken[0]:
            raise RuntimeError("out of memory")
        return "A"

    monitor = monitor_of(bench, tmp_path, model)
    with pytest.raises(MmdbenchError, match="out of memory"):
        monitor(0)
    broken[0] = False
    assert monitor(1) is not None
    broken[0] = True
    assert monitor(2) is None
    assert "no drop was logged at step 2. The model 'model' failed" in capfd.readouterr().err
    broken[0] = False
    assert monitor(3).complete


def test_an_incomplete_measurement_is_not_logged(bench, tmp_path):
    calls, logged = [], []

    def model(images, prompt):
        calls.append(prompt)
        if len(calls) == 2:
            raise ValueError("no answer")
        return "A"

    monitor = monitor_of(bench, tmp_path, model, log_to=lambda *numbers: logged.append(numbers))
    with pytest.raises(IncompleteError, match="7 of 8"):
        monitor(0)
    assert not logged


def test_errors_of_a_log_function_are_mended_by_the_message_and_hold_no_secret(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_API_KEY", "s3cret-of-the-tracker")

    def log(numbers, step):
        raise ConnectionError("no access with s3cret-of-the-tracker")

    with pytest.raises(
        MmdbenchError, match=r"ConnectionError: no access with \[hidden\].*mmdbench export --to"
    ) as error:
        monitor_of(bench, tmp_path, log_to=log)(0)
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None
    assert mmdbench.load_run(tmp_path / "step-0").complete


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("chance", {}, "must be a function, got str"),
        (answer, {"version": "2"}, "takes no version"),
        (answer, {"out": None}, "needs a folder"),
        (answer, {"target_ci": 2.0}, "takes no target_ci"),
        (answer, {"levels": ["worst"]}, "Unknown level 'worst'"),
        (answer, {"log_to": "wandbb"}, "Did you mean 'wandb'"),
        (answer, {"log_to": 7}, "log_to must be one of wandb, .* got int"),
    ],
)
def test_bad_options_are_refused_before_the_training(bench, tmp_path, model, options, message):
    with pytest.raises(UsageError, match=message):
        monitor_of(bench, tmp_path, model, **options)
    assert not (tmp_path / "step-0").exists()


def test_a_step_is_a_number_from_0(bench, tmp_path):
    with pytest.raises(UsageError, match="step must be"):
        monitor_of(bench, tmp_path)(-1)


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboardX")])
def test_a_missing_tracker_is_named_with_its_install(bench, tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        MissingExtraError, match=rf"{package} is not installed.*pip install 'mmdbench\[{name}\]'"
    ):
        monitor_of(bench, tmp_path, log_to=name)


def test_a_run_goes_to_a_function_with_all_its_levels(bench, tmp_path):
    logged = []
    run = mmdbench.evaluate(answer, bench, out=tmp_path / "run", sample=4, codec="png", progress=False)
    numbers = run.log_to(lambda *given: logged.append(given))
    assert logged == [(numbers, 0)]
    assert [name for name in numbers if name.endswith(("low", "mid", "hard"))][:1] == [
        "robustness/toy/clean_low"
    ]
    assert {f"robustness/toy/drop_{level}" for level in ("low", "mid", "hard")} < set(numbers)
    with pytest.raises(UnknownNameError, match="tracker"):
        run.log_to("neptune")
    with pytest.raises((UsageError, MissingExtraError)):
        run.log_to("tensorboard")
