"""Pictures of requests in flight: no more of them are held than there is room for."""

from __future__ import annotations

import asyncio

import pytest

from mmdbench.records import Outcome
from mmdbench.run import async_driver
from mmdbench.run.bytes_in_flight import BytesInFlight
from mmdbench.run.inputs import RunSettings
from pictures import write_many
from recording_model import toy_run


class Slow:
    """Answers after some turns of the event loop, and counts the requests and the bytes at once."""

    concurrency = 16

    def __init__(self):
        self.now, self.most, self.most_bytes = [], 0, 0

    def fingerprint(self):
        return {"name": "slow"}

    async def agenerate(self, request):
        size = sum(len(image.data) for image in request.images)
        self.now.append(size)
        self.most = max(self.most, len(self.now))
        self.most_bytes = max(self.most_bytes, sum(self.now))
        for _ in range(20):
            await asyncio.sleep(0.0005)
        self.now.remove(size)
        return Outcome("A")


@pytest.mark.parametrize(("most", "together"), [(1, {1}), (2000, range(2, 9)), (500_000_000, range(2, 17))])
def test_requests_wait_until_there_is_room_for_their_pictures(monkeypatch, tmp_path, most, together):
    monkeypatch.setattr(async_driver, "BytesInFlight", lambda: BytesInFlight(most))
    path, settings = write_many(tmp_path / "many.tsv", 40), RunSettings(canary=False)
    model, summary = toy_run(path, tmp_path / "run", Slow(), settings=settings, levels=("clean",))
    assert summary.asked == 40
    assert model.most in together
    assert model.most_bytes < most + 500  # the last picture may be above it
