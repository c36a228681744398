"""Random kills of eval, build, score and merge, each of which is then started again by the same command.

    nice python benchmarks/kills.py [--kills 25] [--only eval score] [--seed 1] [--smoke]

A command gets a signal at a random time between its start and the time that it takes undisturbed, and is
started again until it ends by itself; then another begins, until there were enough kills. Printed are for
SIGKILL and SIGTERM: kills; survived, after which the command made the files of an undisturbed one; lost,
replies or rows that were stored or should be and are not; doubled, those that are stored twice; re-paid,
answers of the server (on this machine) to a request that it had answered before; and files of killed
processes that stayed. SIGKILL loses the answers in flight, so as many as are asked at once may be paid for
again at each kill; SIGTERM loses none. The script fails if anything else is not as it should be.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERBS = ("eval", "build", "score", "merge")
CONCURRENCY = 4
SECONDS_PER_ANSWER = 0.02
STOPPED = 130
PROCESSES = multiprocessing.get_context("forkserver")  # a second less for each start
PROCESSES.set_forkserver_preload(
    ["mmdbench.cli", "mmdbench.builds", "mmdbench.run.evaluate", "mmdbench.adapters.openai_api", "openai"]
)


class Server(ThreadingHTTPServer):
    """An OpenAI-style server: `answers` to each request, `now` and at `most` in work at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: Counter[str] = Counter()
        self.now, self.most = 0, 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients are killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = hashlib.sha256(body).hexdigest()
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        text = "0.5" if isinstance(json.loads(body)["messages"][-1]["content"], str) else f"A ({name[:8]})"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        reply = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        data = json.dumps(reply).encode()
        time.sleep(SECONDS_PER_ANSWER)
        with self.server.lock:  # what is sent to a process that is gone was paid for, too
            self.server.answers[name] += 1
            self.server.now -= 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Verb:
    """A command under test: its words for a folder, the files that it makes, and what is stored in them.

    `begin` makes what the folder holds before it; `stored` lists the keys of replies or rows.
    """

    words: Callable[[Path], list[object]]
    files: tuple[str, ...]
    stored: Callable[[Path], list[str]]
    begin: Callable[[Path], object] = id


@dataclass
class Count:
    """The counts of one verb and signal."""

    kills: int = 0
    survived: int = 0
    lost: int = 0
    doubled: int = 0
    repaid: int = 0
    at_once: int = 0
    left: int = 0
    problems: list[str] = field(default_factory=list)


def command(words: list[str], log: str) -> None:
    """Do as `mmdbench` with these words."""
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    from mmdbench.cli import main

    sys.argv = ["mmdbench", *words]
    main()


def run(words: list[object], log: Path, stop: tuple[float, int] | None = None) -> tuple[int, bool]:
    """The exit code of a command, and True if it got the signal `stop`[1] after `stop`[0] seconds."""
    process = PROCESSES.Process(target=command, args=([str(word) for word in words], str(log)))
    process.start()
    process.join(stop[0] if stop else None)
    killed = process.exitcode is None
    if stop and killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, stop[1])
    process.join()
    return process.exitcode, killed


def contents(folder: Path, files: tuple[str, ...]) -> dict[str, bytes]:
    """The contents of the files of a folder that match patterns."""
    paths = (path for pattern in files for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def measure(name: str, verb: Verb, number: int, kills: int, room: Path, server: Server, seed: int) -> Count:
    """Kill a verb so many times; `room` is an empty folder."""
    count, rng, log = Count(), random.Random(f"{seed} {name} {number}"), room / "log"
    whole = room / "whole"
    verb.begin(whole)
    server.most = 0
    started = time.monotonic()
    code, _ = run(verb.words(whole), log)
    seconds = time.monotonic() - started
    assert code == 0, log.read_text()
    count.at_once = server.most
    wanted, keys = contents(whole, verb.files), set(verb.stored(whole))
    assert wanted, f"{name} made no file"
    assert keys, f"{name} stored nothing"
    while count.kills < kills:
        folder = room / f"killed-{count.kills}"
        verb.begin(folder)
        server.answers.clear()
        in_chain, code, kept = 0, None, set()
        while code != 0 and not count.problems:
            stop = (rng.uniform(0, seconds), number) if count.kills + in_chain < kills else None
            code, killed = run(verb.words(folder), log, stop)
            if code not in ((0, -signal.SIGKILL) if number == signal.SIGKILL else (0, STOPPED, -number)):
                count.problems.append(f"exit code {code}: {log.read_text()[-2000:]}")
            in_chain += killed and code != 0
            kept |= set(verb.stored(folder))
        there = Counter(verb.stored(folder))
        count.kills += in_chain
        count.survived += in_chain if contents(folder, verb.files) == wanted else 0
        count.lost += len((kept | keys) - there.keys())
        count.doubled += sum(there.values()) - len(there)
        count.repaid += sum(server.answers.values()) - len(server.answers)
        count.left += sum(1 for path in folder.rglob("*") if path.name.endswith(".part"))
        shutil.rmtree(folder, ignore_errors=True)
        if count.problems:
            break
    return count


def faults(name: str, number: int, count: Count) -> list[str]:
    """Everything in the counts of a verb that a kill must not cause."""
    found = list(count.problems)
    if count.survived != count.kills or count.lost or count.doubled or count.left:
        found.append(f"{count}")
    most = count.at_once * count.kills if number == signal.SIGKILL else 0
    if count.repaid > most:
        found.append(f"{count.repaid} answers were paid for again, at most {most} may be")
    return [f"{name}, {signal.Signals(number).name}: {fault}" for fault in found]


def json_lines(path: Path, name: str) -> list[str]:
    """One field of each whole line of a file."""
    if not path.exists():
        return []
    return [
        str(json.loads(line)[name]) for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")
    ]


def write_source(path: Path, rows: int) -> Path:
    """Write a benchmark of `rows` questions with pictures of their own."""
    from io import BytesIO

    import numpy as np
    from PIL import Image

    lines = ["index\tquestion\tA\tB\tC\tD\tanswer\tcategory\timage"]
    for row in range(rows):
        pixels = np.random.default_rng(row).integers(0, 256, (96, 128, 3), np.uint8)
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        image = base64.b64encode(buffer.getvalue()).decode()
        lines.append(f"{row}\tWhat is it, {row}?\tone\ttwo\tthree\tfour\t{'ABCD'[row % 4]}\tc\t{image}")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def verbs(room: Path, url: str, rows: int) -> Iterator[tuple[str, Verb]]:
    """The verbs under test, with what they read."""
    source, log = write_source(room / "toy.tsv", rows), room / "log"
    quiet = ["--quiet", "--no-canary"]
    plan = ["eval", "--bench", source, "--level", "clean,hard", "--corruption", "graffiti", *quiet]
    asked = [*plan, "--model", f"openai:toy@{url}", "--concurrency", CONCURRENCY, "-o"]
    replies = Verb(
        lambda folder: [*asked, folder],
        ("tables.json", "report.md", "grades.jsonl"),
        lambda folder: json_lines(folder / "replies-0.jsonl", "key"),
    )
    yield "eval", replies

    build = ["build", "--bench", source, "--corruption", "graffiti,dark_illumination", "--quiet", "-o"]

    def row_numbers(folder: Path) -> list[str]:
        texts = {path.name: path.read_text("utf-8") for path in folder.glob("*.tsv")}
        return [f"{name} {line.split()[0]}" for name, text in texts.items() for line in text.splitlines()]

    yield (
        "build",
        Verb(lambda folder: [*build, folder], ("*.tsv", "manifest.json", "manifests/*"), row_numbers),
    )

    free = [*plan, "--family", "mmvet", "--model", f"openai:toy@{url}", "-o", room / "free"]
    assert run(free, log)[0] in (0, 4), log.read_text()  # it has no score without a judge
    judged = ["--judge", f"openai:judge@{url}", "--quiet"]
    yield (
        "score",
        Verb(
            lambda folder: ["score", folder, *judged],
            ("score-*.json", "grades-*.jsonl"),
            lambda folder: json_lines(folder / "judge.jsonl", "key"),
            lambda folder: shutil.copytree(room / "free", folder),
        ),
    )

    shards = [room / f"shard-{n}" for n in (1, 2, 3)]
    for n, shard in enumerate(shards, 1):
        words = [*plan, "--model", "chance", "--shard", f"{n}/3", "-o", shard]
        assert run(words, log)[0] == 0, log.read_text()
    yield (
        "merge",
        Verb(
            lambda folder: ["merge", *shards, "-o", folder],
            ("[!.]*",),
            lambda folder: json_lines(folder / "replies-0.jsonl", "key"),
        ),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=25, help="kills of each verb by each signal")
    parser.add_argument("--rows", type=int, default=150, help="questions of the benchmark")
    parser.add_argument("--only", nargs="*", default=VERBS, choices=VERBS, help="verbs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="one kill of each verb by each signal")
    options = parser.parse_args()
    kills, rows = (1, 24) if options.smoke else (options.kills, options.rows)
    found: list[str] = []
    print("| verb | signal | kills | survived | lost | doubled | re-paid | files left |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place, Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        for name, verb in verbs(Path(place), server.url, rows):
            for number in (signal.SIGKILL, signal.SIGTERM) if name in options.only else ():
                room = Path(place) / f"{name}-{number}"
                room.mkdir()
                count = measure(name, verb, number, kills, room, server, options.seed)
                cells = count.kills, count.survived, count.lost, count.doubled, count.repaid, count.left
                print("|", name, "|", number.name, "|", " | ".join(map(str, cells)), "|", flush=True)
                found += faults(name, number, count)
        server.shutdown()
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
