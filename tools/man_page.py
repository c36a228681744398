"""Write the man page `man/mmdbench.1` from the commands themselves.

python tools/man_page.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from docs_reference import commands

__all__ = ["PAGE", "man_page"]

PAGE = Path(__file__).parents[1] / "man" / "mmdbench.1"

_BEGIN = r""".TH MMDBENCH 1
.SH NAME
mmdbench \- measure how much a vision\-language model loses on degraded images
.SH SYNOPSIS
.B mmdbench
.I verb
[\fIarguments\fR] [\fIoptions\fR]
.SH DESCRIPTION
mmdbench degrades benchmarks by calibrated corruptions, asks models, grades their replies and reports how
far their scores drop.
.B mmdbench list
prints the names that options take. An interrupted verb resumes when it is called again.
.SH VERBS
"""
_END = r""".SH EXIT STATUS
0 done; 1 a regression, or something that verify found wrong; 2 wrong use, or runs that cannot be compared;
3 cannot tell; 4 incomplete, or something that mmdbench needs is missing; 130 interrupted.
.SH ENVIRONMENT
.TP
.B LMUData
Folder of benchmark files, by default ~/LMUData.
.TP
.B MMDBENCH_OFFLINE
If set, nothing is downloaded.
.SH SEE ALSO
.B mmdbench
.I verb
.B \-\-help
"""


def man_page() -> str:
    """The page in the language of man."""
    from mmdbench.cli import app

    verbs = [_verb(words, command) for words, command, _ in commands(typer.main.get_command(app), "mmdbench")]
    return _BEGIN + "".join(verbs) + _END


def _verb(words: str, command: Any) -> str:
    lines = [f".SS {_roff(words)}", _roff(" ".join((command.help or "").split()))]
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts]
        shown = ", ".join(names) if parameter.param_type_name == "option" else str(parameter.name).upper()
        lines += [".TP", f".B {_roff(shown)}", _roff(" ".join((parameter.help or "").split()))]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(man_page(), "utf-8")
