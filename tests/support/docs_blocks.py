"""The code blocks of README.md and of the pages in docs/, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / "examples" / name / "README.md" for name in ("adapter_package", "corruption_package")]
SHELLS = ("sh", "bash", "console", "shell")

_BLOCK = re.compile(r"^```([\w+-]*)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"exit code (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its place, language and code, and the name of the file that holds it (its title)."""

    page: Path
    line: int
    language: str
    title: str
    code: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a shell block, with the exit code in its comment and the file that gets its output."""

    where: str
    line: str
    words: tuple[str, ...]
    code: int = 0
    into: str = ""


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order; one without a language is a shell's if it calls mmdbench."""
    text, found = page.read_text("utf-8"), []
    for match in _BLOCK.finditer(text):
        language = match[1] or ("sh" if match[3].startswith("mmdbench ") else "")
        title = re.search(r'title="([^"]+)"', match[2])
        line = text[: match.start()].count("\n") + 1
        found.append(Block(page, line, language, title[1] if title else "", match[3]))
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a shell block; with prompts in it, only the lines after a prompt."""
    code = re.sub(r"\\\n\s*", " ", block.code)
    lines = code.splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [command for line in lines for command in _commands(block.where, line)]


def _commands(where: str, line: str) -> list[Command]:
    found = []
    announced = _EXIT.search(line)
    for part in re.split(r"\s&&\s", line):
        words = shlex.split(part, comments=True)
        if not words:
            continue
        into = ""
        if ">" in words:
            place = words.index(">")
            into, words = words[place + 1], words[:place]
        code = int(announced[1]) if announced else 0
        found.append(Command(where, part.strip(), tuple(words), code, into))
    return found
