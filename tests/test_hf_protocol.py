"""The example in docs/adapters.md is a whole adapter: it is registered and run as a user would."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from mmdbench.adapters._hf.families import FAMILIES
from mmdbench.adapters._hf.settings import Settings
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.models import ENTRY_POINTS
from mmdbench.store import read_replies

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adapters.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_example_is_short_and_runs_from_its_card(make_tsv, tmp_path, monkeypatch):
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 40
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "brightness.py").write_text(code)
    stanza = next(block for block in blocks("toml") if "bright-is-first" in block)
    (tmp_path / "cards.toml").write_text(stanza)
    module = re.search(r'^brightness = "(.*)"$', "\n".join(blocks("toml")), re.MULTILINE)[1]
    points = metadata.entry_points
    mine = metadata.EntryPoint("brightness", module, ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda **by: [*points(**by), mine])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    command = next(block for block in blocks("sh") if "bright-is-first" in block).split()
    arguments = [*command[1:], "--level", "clean", "-o", "run", "--quiet"]
    arguments[arguments.index("mini")] = str(make_tsv(4))
    try:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    finally:
        sys.modules.pop(module, None)
        sys.modules.pop("my_package", None)
    assert result.exit_code == 0, result.output
    replies = list(read_replies(Path("run")).values())
    assert [r.status for r in replies] == ["ok"] * 4
    for reply in replies:
        assert reply.text == ("A" if reply.details["mean"] > 100 else "D")


def test_every_option_and_family_is_on_the_page():
    text = PAGE.read_text("utf-8")
    options = {name for name in Settings.__dataclass_fields__ if name not in ("repo", "max_new_tokens")}
    assert {name for name in options if f"`{name}`" not in text} == set()
    assert {name for name in FAMILIES if f"`{name}`" not in text} == set()
