"""Processes that start at once: each is forked from one server that has imported the command line."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

# A wrong name would be passed over in silence: tests/project/test_layout.py looks each up.
PRELOADED = [
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.ImageOps",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "PIL.features",
    "mmdbench.adapters.chance",
    "mmdbench.adapters.openai_api",
    "mmdbench.benches.fetch",
    "mmdbench.benches.vlmevalkit",
    "mmdbench.builds",
    "mmdbench.check.output",
    "mmdbench.cli.check",
    "mmdbench.cli.evaluate",
    "mmdbench.cli.report",
    "mmdbench.cli.score",
    "mmdbench.corruptions.capture",
    "mmdbench.corruptions.environmental",
    "mmdbench.corruptions.images",
    "mmdbench.corruptions.operations",
    "mmdbench.corruptions.post_processing",
    "mmdbench.corruptions.transmission",
    "mmdbench.library.asking",
    "mmdbench.library.downloads",
    "mmdbench.library.evaluating",
    "mmdbench.library.rescoring",
    "mmdbench.library.run",
    "mmdbench.library.several",
    "mmdbench.report.comparison",
    "mmdbench.report.load",
    "mmdbench.report.render.report_files",
    "mmdbench.results.freshness",
    "mmdbench.results.judging.open",
    "mmdbench.run.engines.local_dispatcher",
    "mmdbench.run.engines.settings",
    "mmdbench.run.evaluate",
    "mmdbench.run.preflight",
    "mmdbench.run.runner",
    "mmdbench.system.remote.copies",
    "mmdbench.variants.released_data",
    "numpy.random",
    "openai.resources.chat.completions",  # takes longest
    "pybase64",
    "pydantic.type_adapter",
    "pytest",
    "typer._adapters",
    "typer._click.decorators",
]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)


def command_line(*words: str) -> None:
    """Do as `python -m mmdbench` with these words."""
    from mmdbench.cli import main

    sys.argv = ["mmdbench", *words]
    main()


def run_program(program: str, *words: str) -> None:
    """Do as `python -c` with a program and its words."""
    sys.argv = ["-c", *words]
    exec(compile(program, "-c", "exec"), {"__name__": "__main__"})


class Child:
    """A function in a process of its own, which can be killed; used as `subprocess.Popen` is.

    Much cheaper than a new interpreter. The function must be importable; unlike a new interpreter, the
    process has imported most of the package, and standard input is closed.
    """

    def __init__(
        self,
        words: Sequence[object],
        function: Callable[..., None] = command_line,
        folder: Path | None = None,
    ) -> None:
        self._outputs = Path(tempfile.mkdtemp(prefix="child-"))
        self._read: dict[str, str] = {}
        arguments = (function, [str(word) for word in words], str(self._outputs), str(folder or Path.cwd()))
        self._process = _SERVER.Process(target=_begin, args=arguments)
        self._process.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        self._read = {name: self._text(name) for name in ("out", "err")}
        shutil.rmtree(self._outputs)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """The text printed so far."""
        return self._text("out")

    @property
    def stderr(self) -> str:
        """The text printed to standard error so far."""
        return self._text("err")

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """The exit code, waited for up to a minute."""
        self._process.join(60)
        assert self._process.exitcode is not None, "the process does not end"
        return self._process.exitcode

    def wait_until(self, is_so: Callable[[], object]) -> None:
        """Wait up to a minute until something is so, while the process runs."""
        deadline = time.monotonic() + 60
        while not is_so():
            assert self.poll() is None, self.stderr
            assert time.monotonic() < deadline, "waited a minute"
            time.sleep(0.002)

    def send_signal(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process as nothing can prevent."""
        self.send_signal(signal.SIGKILL)

    def _text(self, name: str) -> str:
        path = self._outputs / name
        return self._read.get(name) or (path.read_text("utf-8", "replace") if path.exists() else "")


def run_command(*words: object, folder: Path | None = None) -> str:
    """Run the command line to its end, which must be a good one; what it printed, errors last."""
    with Child(words, folder=folder) as child:
        assert child.wait() == 0, child.stderr
        return child.stdout + child.stderr


def _begin(function: Callable[..., None], words: list[str], outputs: str, folder: str) -> None:
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(outputs, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    function(*words)
