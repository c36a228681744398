"""The example in docs/adapters.md is a whole adapter: it is saved and run as a user would."""

from __future__ import annotations

from pathlib import Path

from mmdbench.adapters._hf.families import FAMILIES
from mmdbench.adapters._hf.settings import HfSettings
from typer.testing import CliRunner

from docs_blocks import blocks_of, commands_of
from mmdbench.cli import app
from mmdbench.run.store import read_replies

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters.md"


def test_the_example_is_short_and_runs_from_its_card(make_tsv, tmp_path, monkeypatch):
    blocks = blocks_of(PAGE)
    files = {block.title: block.code for block in blocks if block.title}
    assert len(files["bright.py"].splitlines()) <= 40
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    commands = [c for block in blocks if block.language == "sh" for c in commands_of(block)]
    words = next(c.words for c in commands if "bright-is-first" in c.words)
    arguments = [*words[1:], "--level", "clean", "-o", "run", "--quiet"]
    arguments[arguments.index("mini")] = str(make_tsv(4))
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    replies = list(read_replies(Path("run")).values())
    assert [r.status for r in replies] == ["ok"] * 4
    for reply in replies:
        assert reply.text == ("A" if reply.details["mean"] > 100 else "D")


def test_every_option_and_family_is_on_the_page():
    text = PAGE.read_text("utf-8")
    options = {name for name in HfSettings.__dataclass_fields__ if name != "repo"}
    assert {name for name in options if f"`{name}`" not in text} == set()
    assert {name for name in FAMILIES if f"`{name}`" not in text} == set()
