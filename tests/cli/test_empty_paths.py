"""An empty path, such as that of a variable that a script did not set, is an error in every verb."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from verb_calls import verbs


def path_parameters():
    """Words that call each verb with an empty text for one of its paths."""
    for verb, function in verbs().items():
        hints = get_type_hints(function, include_extras=True)
        for name in inspect.signature(function).parameters:
            kind, *extras = get_args(hints[name]) or (hints[name],)
            setting = next((e for e in extras if hasattr(e, "param_decls")), None)
            paths = Path in (kind, *get_args(kind)) or getattr(setting, "parser", None) is not None
            if setting is not None and paths:
                names = (setting.default, *(setting.param_decls or ()))
                option = [d for d in names if isinstance(d, str) and d.startswith("--")]
                words = verb.split()
                if type(setting).__name__ == "OptionInfo":
                    words.append(option[0] if option else f"--{name.replace('_', '-')}")
                yield pytest.param([*words, ""], id=f"{' '.join(words)} {name}")


@pytest.mark.parametrize("words", list(path_parameters()))
def test_an_empty_path_is_an_error(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2, done.output
    assert "must not be empty" in done.output
    assert not list(tmp_path.iterdir())


def test_every_path_is_looked_at():
    assert len(list(path_parameters())) > 60
