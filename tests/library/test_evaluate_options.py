"""The options of `evaluate` and `build` against those of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import mmdbench
from mmdbench.cli import app
from mmdbench.library import building, several
from mmdbench.library.prepared import prepare
from mmdbench.library.user_interface import UserInterface

SEVERAL = {
    "column": "columns",
    "level": "levels",
    "corruption": "corruptions",
    "set": "settings",
    "model_card": "model_cards",
    "restore_card": "restore_cards",
}
ARGUMENTS = {"model", "bench", "out", "quiet", "json", "dry_run"}


def named(verb):
    """The options of a command, by the names that they have in Python."""
    options = [p for p in typer.main.get_command(app).commands[verb].params if p.param_type_name == "option"]
    words = [max(option.opts, key=len).lstrip("-").replace("-", "_") for option in options]
    return {SEVERAL.get(word, word) for word in words}


def given_to(monkeypatch, module, name, *words):
    """The options that a command gives to a function of the library when it is called with these words."""
    given = []

    def note(*arguments, progress, **options):
        given.append({key: value for key, value in options.items() if key != "labels"})
        raise mmdbench.errors.UsageError("enough")

    monkeypatch.setattr(module, name, note)
    assert CliRunner().invoke(app, words).exit_code == 2
    return given[0]


def test_the_options_are_those_of_the_commands():
    evaluate = set(mmdbench.EvaluateOptions.__annotations__)
    assert named("eval") - ARGUMENTS == evaluate - {"out", "name", "version"}
    assert named("build") - ARGUMENTS == set(mmdbench.BuildOptions.__annotations__)


def test_the_defaults_of_an_evaluation_are_those_of_the_command(monkeypatch):
    given = given_to(monkeypatch, several, "evaluate_each", "eval", "--model", "chance", "--bench", "mini")
    interface = UserInterface(quiet=True)
    assert prepare("chance", ["mini"], given, interface) == prepare("chance", ["mini"], {}, interface)


def test_the_defaults_of_a_build_are_those_of_the_command(monkeypatch):
    given = given_to(monkeypatch, building, "plan_build", "build", "--bench", "mini", "-o", "x")
    monkeypatch.undo()
    assert building.plan_build("mini", **given).plan == building.plan_build("mini").plan


@pytest.mark.parametrize("out", ["s3://bucket/run", Path("memory://run"), ""])
def test_a_url_is_refused_and_no_folder_is_named_by_it(tmp_path, monkeypatch, out):
    run = mmdbench.evaluate("chance", "mini", sample=2, out=tmp_path / "run", levels="hard", progress=False)
    monkeypatch.chdir(tmp_path)
    for write in (
        lambda: mmdbench.evaluate("chance", "mini", sample=2, out=out),
        lambda: mmdbench.evaluate("chance", "mini", sample=2, data_dir=out),
        lambda: mmdbench.build("mini", out, sample=2, progress=False),
        lambda: run.page(out),
        lambda: run.accept(out),
        lambda: run.export(out),
    ):
        with pytest.raises(
            mmdbench.errors.UsageError, match=r"must (be a path on this machine|not be empty)"
        ):
            write()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
