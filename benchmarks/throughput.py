"""How fast the runner asks: a server on this machine that takes 50 ms for each answer, 64 at once.

The ideal is requests / concurrency × 50 ms: a runner that costs nothing. Pictures are tiny, so that
what is measured is asking and storing, not the making of pictures. Also: that memory does not grow
with the number of requests, and how long 400,000 stored replies take to load.

    python benchmarks/throughput.py [--smoke]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "toy",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "B"}}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301},
}


class Server(asyncio.Protocol):
    """The least that can be called an HTTP server: it answers each request after `seconds`."""

    seconds = 0.05
    body = json.dumps(ANSWER).encode()
    response = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )

    def connection_made(self, transport):
        self.transport, self.pending = transport, b""

    def data_received(self, data):
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head = self.pending[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self.pending) < end + 4 + length:
                return
            self.pending = self.pending[end + 4 + length :]
            asyncio.get_running_loop().call_later(self.seconds, self.transport.write, self.response)


async def serve(seconds):
    Server.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def write_bench(path, rows):
    from PIL import Image

    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["index", "question", "A", "B", "answer", "image"])
        buffer = io.BytesIO()
        Image.new("RGB", (16, 12), (90, 120, 30)).save(buffer, "PNG")
        image = base64.b64encode(buffer.getvalue()).decode()
        for i in range(rows):
            writer.writerow([i, f"Question {i}?", "yes", "no", "AB"[i % 2], image])


def resident_mib():
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def ask(rows, seconds, concurrency, transport="auto"):
    """Run `rows` requests; returns requests per second while asking, and resident MiB at marks on the way."""
    from mmdbench.benches import open_bench
    from mmdbench.cards import ModelCard
    from mmdbench.models import open_model
    from mmdbench.records import RunPlan
    from mmdbench.runner import RunSettings, run_plan

    with tempfile.TemporaryDirectory() as folder:
        write_bench(Path(folder) / "toy.tsv", rows)
        command = [sys.executable, __file__, "--serve", str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
                options = {"concurrency": concurrency, "transport": transport}
                card = ModelCard("toy", "openai", model="toy", endpoint=url, options=options)
                marks, times = {}, {}

                def watch(progress):
                    if progress.done in (0, rows // 5, rows // 2, rows):
                        marks[progress.done] = resident_mib()
                        times[progress.done] = time.perf_counter()

                plan = RunPlan(model="toy", benches=("toy",), levels=("clean",))
                bench = open_bench(Path(folder) / "toy.tsv")
                run_plan(
                    plan,
                    [bench],
                    open_model(card),
                    card,
                    Path(folder) / "run",
                    watch,
                    RunSettings(canary=False),
                )
            finally:
                server.kill()
        return rows / (times[rows] - times[0]), marks


def load(rows):
    """Seconds to read the keys and to read all replies of a run of that many."""
    from mmdbench.records import Reply
    from mmdbench.store import read_index, read_replies, reply_line

    recipe = {
        "image": "a" * 64,
        "corruption": "motion_blur",
        "intensity": 0.6,
        "profile": "paper",
        "spec_version": "1.0",
        "seed": 0,
        "codec": "jpeg:95",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replies-0.jsonl"
        with path.open("wb") as file:
            for i in range(rows):
                images = ({"recipe": recipe, "pixels": f"{i:064x}", "no_op": False},)
                details = {
                    "finish_reason": "stop",
                    "usage": {"prompt": 900, "completion": 2},
                    "cost_usd": 3e-4,
                }
                reply = Reply(
                    f"{i:064x}",
                    "MMBench",
                    i // 49,
                    "hard",
                    "motion_blur",
                    "ok",
                    "B",
                    "",
                    1,
                    1.2,
                    images,
                    details,
                )
                file.write(reply_line(reply))
        size = path.stat().st_size / 2**20
        started = time.perf_counter()
        read_index(Path(folder))
        keys = time.perf_counter() - started
        started = time.perf_counter()
        read_replies(Path(folder))
        return size, keys, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small run, in less than half a minute")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--transport", default="auto")
    words = parser.parse_args()
    if words.serve is not None:
        asyncio.run(serve(words.serve))
        return 0
    rows = words.rows or (3_000 if words.smoke else 20_000)
    first = rate = ask(rows, 0.05, 64, words.transport)[0]
    ideal = 64 / 0.05
    print(f"{rows} requests, 50 ms, 64 at once: {rate:.0f}/s of {ideal:.0f}/s, {ideal / rate:.2f} × ideal")
    rate, marks = ask(3_000 if words.smoke else 100_000, 0.0, 64)
    shown = ", ".join(f"{mib:.0f} MiB after {done}" for done, mib in marks.items())
    print(f"as fast as possible: {rate:.0f}/s, {1e6 / rate:.0f} µs each; resident {shown}")
    size, keys, whole = load(20_000 if words.smoke else 400_000)
    print(f"a store of {size:.0f} MiB: keys in {keys:.1f} s, replies in {whole:.1f} s")
    growth = max(marks.values()) - marks[min(m for m in marks if m)]
    slow = ideal / first > (8 if words.smoke else 2)
    return 1 if slow or growth > 20 else 0


if __name__ == "__main__":
    sys.exit(main())
