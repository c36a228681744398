"""A program `mmdbench` for scripts, whose runs are forked from one server instead of starting anew."""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from child_processes import Child, command_line

# Sends its words, folder and environment, and prints and returns what comes back.
_PROGRAM = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect({address!r})
    link.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    code, out, err = json.load(link.makefile())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@contextmanager
def forked_program(folder: Path) -> Iterator[Path]:
    """The path of a program that does as `python -m mmdbench`, while the context lasts."""
    address = str(folder / "link")
    program = folder / "mmdbench"
    program.write_text(_PROGRAM.format(python=sys.executable, address=address), "utf-8")
    program.chmod(0o755)
    with socketserver.ThreadingUnixStreamServer(address, _Run) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield program
        server.shutdown()


class _Run(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        words, folder, environment = json.loads(self.rfile.readline())
        with Child([json.dumps(environment), *words], _in_environment, Path(folder)) as child:
            answer = [child.wait(), child.stdout, child.stderr]
        self.wfile.write(json.dumps(answer).encode())


def _in_environment(environment: str, *words: str) -> None:
    os.environ.clear()
    os.environ.update(json.loads(environment))
    command_line(*words)
