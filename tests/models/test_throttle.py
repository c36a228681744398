"""The throttle on a clock of its own: what it lets through, and when."""

from __future__ import annotations

import asyncio
import math

import pytest

from mmdbench.models.failures import (
    CODE_KINDS,
    RULES,
    STATUS_KINDS,
    AttemptError,
    kind_of_response,
)
from mmdbench.models.throttle import Throttle, ThrottleQueue, ThrottleSettings, backoff_seconds

BUSY = RULES["rate_limited"]
BROKEN = RULES["malformed"]


def fill(throttle, now):
    count = 0
    while throttle.reserve(now) == 0.0:
        count += 1
    return count


def simulate(throttle, server_limit, seconds=0.1, until=60.0):
    """Requests of a fixed length against a server that refuses what is over its limit; limits over time."""
    now, under_way, seen = 0.0, [], []
    while now < until:
        while throttle.reserve(now) == 0.0:
            refused = sum(not bad for _, _, bad in under_way) >= server_limit
            under_way.append((now + (0.001 if refused else seconds), now, refused))
        under_way.sort()
        now, started, refused = under_way.pop(0)
        if refused:
            throttle.failed(now, started, BUSY)
        else:
            throttle.succeeded(now)
        seen.append((now, throttle.limit))
    return seen


def test_it_starts_small_doubles_and_stops_at_the_most():
    throttle = Throttle(ThrottleSettings(concurrency=10, start=2))
    sizes = []
    for now in range(5):
        sizes.append(fill(throttle, float(now)))
        for _ in range(sizes[-1]):
            throttle.succeeded(now + 0.5)
    assert sizes[0] == 2
    assert sizes == sorted(sizes)
    assert sizes[-1] == 10


def test_an_overload_cuts_once_for_all_requests_in_flight():
    throttle = Throttle(ThrottleSettings(concurrency=40, start=40))
    assert fill(throttle, 0.0) == 40
    for _ in range(10):
        throttle.failed(1.0, 0.0, BUSY)
    assert throttle.cuts == 1
    assert throttle.limit == pytest.approx(28)
    throttle.failed(3.0, 2.0, BUSY)
    assert throttle.cuts == 2


def test_after_a_cut_it_grows_by_one_for_each_round():
    throttle = Throttle(ThrottleSettings(concurrency=40, start=10))
    fill(throttle, 0.0)
    throttle.failed(1.0, 0.5, BUSY)
    before = throttle.limit
    for _ in range(int(before)):
        fill(throttle, 2.0)
        throttle.succeeded(2.0)
    assert 0.8 < throttle.limit - before < 1.3


def test_failures_other_than_overload_do_not_slow_down():
    throttle = Throttle(ThrottleSettings(concurrency=8, start=8))
    fill(throttle, 0.0)
    throttle.failed(1.0, 0.5, BROKEN)
    assert (throttle.limit, throttle.cuts, throttle.in_flight) == (8, 0, 7)


def test_it_never_grows_while_it_is_not_used():
    throttle = Throttle(ThrottleSettings(concurrency=100, start=10))
    for now in range(50):
        assert throttle.reserve(float(now)) == 0.0
        throttle.succeeded(now + 0.5)
    assert throttle.limit == 10


def test_it_never_stops_altogether():
    throttle = Throttle(ThrottleSettings(start=1))
    for now in range(20):
        assert throttle.reserve(float(now)) == 0.0
        throttle.failed(now + 0.5, float(now), BUSY)
    assert throttle.limit == 1


@pytest.mark.parametrize("server_limit", [3, 12, 50])
def test_it_settles_at_the_servers_limit(server_limit):
    seen = simulate(Throttle(ThrottleSettings(concurrency=200, start=4)), server_limit)
    later = [limit for now, limit in seen if now > 20]
    assert max(later) <= server_limit + 2
    assert min(later) >= 0.6 * server_limit - 1
    assert sum(later) / len(later) > 0.75 * server_limit


def test_retry_after_holds_everybody_back():
    throttle = Throttle(ThrottleSettings(start=4))
    throttle.reserve(0.0)
    throttle.failed(1.0, 0.0, BUSY, retry_after=7.0)
    assert throttle.reserve(1.0) == pytest.approx(7.0)
    assert throttle.reserve(7.9) == pytest.approx(0.1)
    assert throttle.reserve(8.0) == 0.0


def test_no_pause_is_longer_than_the_longest_and_none_follows_what_is_not_tried_again():
    for asked, kept in ((7.0, 7.0), (1e300, 600.0), (math.inf, 600.0), (math.nan, 0.0), (-5.0, 0.0)):
        throttle = Throttle(ThrottleSettings(start=4))
        throttle.reserve(0.0)
        throttle.failed(1.0, 0.0, BUSY, retry_after=asked)
        assert throttle.reserve(1.0) == pytest.approx(kept)
    throttle = Throttle(ThrottleSettings(start=4))
    throttle.reserve(0.0)
    throttle.failed(1.0, 0.0, RULES["bad_request"], retry_after=60.0)
    assert throttle.reserve(1.0) == 0.0


def test_a_count_of_tokens_that_cannot_be_holds_requests_back_for_the_longest_pause_at_most():
    throttle = Throttle(ThrottleSettings(tpm=60_000))
    throttle.reserve(0.0, tokens=1000)
    throttle.correct_tokens(1000, 1e15)
    assert throttle.reserve(1.0) <= 601


def test_requests_and_tokens_per_minute():
    by_requests = Throttle(ThrottleSettings(concurrency=1000, start=1000, rpm=600))
    sent = 0
    for tick in range(600):  # a minute, in steps of a tenth of a second
        while by_requests.reserve(tick / 10) == 0.0:
            sent += 1
    assert 600 <= sent <= 612
    by_tokens = Throttle(ThrottleSettings(concurrency=1000, start=1000, tpm=60_000))
    sent = 0
    for tick in range(600):
        while by_tokens.reserve(tick / 10, tokens=1000) == 0.0:
            by_tokens.correct_tokens(1000, 500)  # it turned out to be half
            sent += 1
    assert 118 <= sent <= 124


def test_a_full_throttle_waits_for_an_end_and_not_for_a_time():
    throttle = Throttle(ThrottleSettings(start=1, rpm=60))
    throttle.reserve(0.0)
    assert math.isinf(throttle.reserve(0.0))
    throttle.abandoned()
    assert throttle.in_flight == 0


def test_pauses_double_up_to_the_longest_and_differ_between_requests():
    settings = ThrottleSettings(backoff=1.0, longest_backoff=10.0)
    for attempt, most in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10)]:
        pauses = {backoff_seconds(settings, attempt, str(i)) for i in range(50)}
        assert most / 2 <= min(pauses) < max(pauses) <= most
        assert len(pauses) == 50
    assert backoff_seconds(settings, 1, "a") == backoff_seconds(settings, 1, "a")


def test_the_queue_is_first_come_first_served_and_sends_away_when_closed():
    async def scene():
        throttle = Throttle(ThrottleSettings(concurrency=1, start=1))
        queue = ThrottleQueue(throttle)
        order = []

        async def one(number):
            if await queue.acquire() is None:
                order.append(f"{number} sent away")
                return
            order.append(number)
            await asyncio.sleep(0.001)
            throttle.succeeded(queue.clock())
            queue.release()
            if number == 4:
                queue.close()

        await asyncio.gather(*(one(number) for number in range(6)))
        return order

    assert asyncio.run(scene()) == [0, 1, 2, 3, 4, "5 sent away"]


def test_every_failure_has_one_rule():
    assert set(STATUS_KINDS.values()) | set(CODE_KINDS.values()) <= set(RULES)
    assert {rule.action for rule in RULES.values()} == {"retry", "fail", "refuse", "stop"}
    assert kind_of_response(400, "content_filter") == "content_filter"
    assert kind_of_response(599) == "server_error"
    assert kind_of_response(451) == "bad_request"
    assert RULES[kind_of_response(429)].action == "retry"
    assert RULES[kind_of_response(429, "insufficient_quota")].action == "stop"
    for status in (408, 409, 429, 500, 502, 503, 504, 529):
        assert RULES[kind_of_response(status)].action == "retry"
    for status in (401, 402, 404):
        assert RULES[kind_of_response(status)].action == "stop"
    assert RULES[kind_of_response(403)].action == "fail"
    with pytest.raises(ValueError, match="Did you mean 'timeout'"):
        AttemptError("timout", "")
