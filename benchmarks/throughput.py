"""Requests per second of the runner, against a local server that takes 50 ms per answer, 64 at once.

The ideal time is requests / concurrency × 50 ms: neither the runner nor the server, which shares this
machine's cores, costs anything. Each picture is shown with many questions, so that asking and storing
are measured, not the making of pictures; they are of 85 kB, then tiny. Also measured: growth of memory
with the number of requests, and the time to load 400,000 stored replies.

    python benchmarks/throughput.py [--smoke]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import ClassVar

ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "toy",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "B"}}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301},
}


class Server(asyncio.Protocol):
    """A minimal HTTP server that answers each request after `seconds`."""

    seconds = 0.05
    body = json.dumps(ANSWER).encode()
    response = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )
    # (time, connection): one timer for all answers, because the server shares the runner's cores.
    due: ClassVar[deque] = deque()

    def connection_made(self, transport):
        self.transport, self.pending, self.needed = transport, b"", 0

    def data_received(self, data):
        self.pending += data
        while len(self.pending) >= self.needed:
            end = self.pending.find(b"\r\n\r\n")
            if end < 0:
                return
            length = self.pending[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.needed = end + 4 + int(length or 0)
            if len(self.pending) < self.needed:
                return
            self.pending, self.needed = self.pending[self.needed :], 0
            self.answer_later()

    def answer_later(self):
        loop = asyncio.get_running_loop()
        self.due.append((loop.time() + self.seconds, self.transport))
        if len(self.due) == 1:
            loop.call_at(self.due[0][0], self.answer_due, loop)

    @classmethod
    def answer_due(cls, loop):
        while cls.due and cls.due[0][0] <= loop.time():
            cls.due.popleft()[1].write(cls.response)
        if cls.due:
            loop.call_at(cls.due[0][0], cls.answer_due, loop)


async def serve(seconds):
    Server.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def photograph(kilobytes, seed):
    """A JPEG of about so many kilobytes; 0 for a tiny PNG."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    if not kilobytes:
        Image.new("RGB", (16, 12), (90, 120, 30)).save(buffer, "PNG")
        return buffer.getvalue()
    rng = np.random.default_rng(seed)
    grain = rng.normal(rng.integers(60, 200, 3), 18, (213, 320, 3)).repeat(2, 0).repeat(2, 1)
    for quality in range(60, 100, 2):
        buffer = io.BytesIO()
        Image.fromarray(grain.clip(0, 255).astype("uint8")).save(buffer, "JPEG", quality=quality)
        if buffer.tell() >= kilobytes * 1000:
            break
    return buffer.getvalue()


def write_bench(path, rows, questions_a_picture, kilobytes):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["index", "question", "A", "B", "answer", "image"])
        for i in range(rows):
            first = i - i % questions_a_picture
            if i == first and (kilobytes or i == 0):
                image = base64.b64encode(photograph(kilobytes, i)).decode()
            writer.writerow([i, f"Question {i}?", "yes", "no", "AB"[i % 2], image if i == first else first])


def resident_mib(but):
    """Resident memory of this process and its children, except for one process id."""
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if os.getpid() in (parent, int(status.parent.name)) and int(status.parent.name) != but:
                pages += int((status.parent / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def served(seconds):
    """The address and the process id of a running server."""
    command = [sys.executable, __file__, "--serve", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1", server.pid
        finally:
            server.kill()


def ask(rows, seconds, concurrency, questions_a_picture=1, kilobytes=0):
    """Run `rows` requests; requests per second after the first reply, CPU seconds for each, and MiB."""
    from mmdbench.benches import open_bench
    from mmdbench.models import open_model
    from mmdbench.models.cards import ModelCard
    from mmdbench.records import RunPlan
    from mmdbench.run.inputs import RunInputs, RunSettings
    from mmdbench.run.runner import run_plan

    with tempfile.TemporaryDirectory() as folder, served(seconds) as (url, server):
        write_bench(Path(folder) / "toy.tsv", rows, questions_a_picture, kilobytes)
        card = ModelCard("toy", "openai", model="toy", endpoint=url, options={"concurrency": concurrency})
        marks, times = {}, []

        def watch(progress):
            if progress.done in (0, rows // 4, rows // 2, rows):
                marks[progress.done] = resident_mib(server)
            if progress.done in (1, rows):
                times.append((time.perf_counter(), time.process_time()))

        plan = RunPlan(model="toy", benches=("toy",), levels=("clean",))
        bench = open_bench(Path(folder) / "toy.tsv")
        settings = RunSettings(canary=False)
        run_plan(RunInputs(plan, [bench], open_model(card), card, Path(folder) / "run", settings), watch)
        (started, busy), (ended, busy_at_end) = times[0], times[-1]
        return rows / (ended - started), (busy_at_end - busy) / rows, marks


def ask_barely(requests, seconds, concurrency, characters=120):
    """Requests per second of the HTTP library alone, which neither reads nor stores answers."""
    import aiohttp

    text = {"type": "text", "text": "Question 1?" + " " * 120}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * characters}}
    messages = [{"role": "user", "content": [picture, text]}]
    body = json.dumps({"model": "toy", "messages": messages}).encode()

    async def whole(url):
        left = iter(range(requests))
        connector = aiohttp.TCPConnector(limit=concurrency)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def work():
                for _ in left:
                    async with session.post(f"{url}/chat/completions", data=body) as response:
                        await response.read()

            started = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(concurrency)))
            return requests / (time.perf_counter() - started)

    with served(seconds) as (url, _):
        return asyncio.run(whole(url))


def load(rows):
    """MiB of a run with `rows` replies, and seconds to read its keys and to read its replies."""
    from mmdbench.run.store import read_index, read_replies, write_replies

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replies-0.jsonl"
        write_replies(path, map(stored_reply, range(rows)))
        size = path.stat().st_size / 2**20
        started = time.perf_counter()
        read_index(Path(folder))
        keys = time.perf_counter() - started
        started = time.perf_counter()
        read_replies(Path(folder))
        return size, keys, time.perf_counter() - started


def stored_reply(number):
    """A reply of usual length."""
    from mmdbench.records import Reply

    recipe = {
        "image": "a" * 64,
        "corruption": "motion_blur",
        "intensity": 0.6,
        "profile": "paper",
        "spec_version": "1.0",
        "seed": 0,
        "codec": "jpeg:95",
    }
    images = ({"recipe": recipe, "pixels": f"{number:064x}", "no_op": False},)
    details = {"finish_reason": "stop", "usage": {"prompt": 900, "completion": 2}, "cost_usd": 3e-4}
    cell = "MMBench", number // 49, "hard", "motion_blur"
    return Reply(f"{number:064x}", *cell, "ok", "B", "", 1, 1.2, images, details)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small run, in less than half a minute")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=0, help="requests against the server that takes 50 ms")
    parser.add_argument("--rate-only", action="store_true", help="measure neither memory nor loading")
    words = parser.parse_args()
    if words.serve is not None:
        asyncio.run(serve(words.serve))
        return 0
    ideal, slow = 64 / 0.05, False
    for kilobytes, usual in ((85, 5_000), (0, 40_000)):
        rows = words.rows or (2_000 if words.smoke else usual)
        barely = ask_barely(rows, 0.05, 64, max(120, kilobytes * 1333))
        rate, busy, _ = ask(rows, 0.05, 64, questions_a_picture=100, kilobytes=kilobytes)
        shown = f"{kilobytes} kB" if kilobytes else "tiny"
        print(f"{rows} requests with {shown} pictures, 50 ms, 64 at once: {rate:.0f}/s of {ideal:.0f}/s,")
        print(f"  {busy * 1e6:.0f} µs of a core each; aiohttp alone: {barely:.0f}/s")
        slow = slow or rate < (100 if words.smoke else 800)
    if words.rate_only:
        return int(slow)
    rate, _, marks = ask(3_000 if words.smoke else 100_000, 0.0, 64)
    shown = ", ".join(f"{mib:.0f} MiB after {done}" for done, mib in marks.items())
    print(f"as fast as possible: {rate:.0f}/s, {1e6 / rate:.0f} µs each; resident: {shown}")
    size, keys, replies = load(20_000 if words.smoke else 400_000)
    print(f"a store of {size:.0f} MiB: keys in {keys:.1f} s, replies in {replies:.1f} s")
    growth = max(marks.values()) - marks[min(m for m in marks if m)]
    return 1 if slow or growth > 20 else 0


if __name__ == "__main__":
    sys.exit(main())
