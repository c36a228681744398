"""Run commands as on a terminal and draw what they print: docs/images/terminal.svg.

mmdbench demo
mmdbench check runs/demo --baseline robustness.json --accept
mmdbench eval --model chance --bench mini --level clean,hard -o runs/worse
python tools/terminal_picture.py
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images" / "terminal.svg"
WIDTH = 98
COMMANDS = (
    "mmdbench report runs/demo --table levels --table corruption-category",
    "mmdbench check runs/worse --baseline robustness.json",
)

# The fonts of the usual format are fetched from a server; a picture of the docs fetches nothing.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
)


def printed(command: str) -> str:
    """The output of a command on a terminal of `WIDTH` columns, with colours."""
    words = [sys.executable, "-m", *command.split()]
    environment = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    return done.stdout


def main() -> int:
    """Draw the picture."""
    screen = Console(record=True, width=WIDTH, file=io.StringIO())
    for command in COMMANDS:
        screen.print(Text(f"$ {command}", style="bold green"))
        screen.print(Text.from_ansi(printed(command)))
        screen.print()
    text = screen.export_svg(title="mmdbench", code_format=FORMAT, unique_id="mmdbench")
    TARGET.write_text(text.rstrip() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
