"""Pauses that servers ask for, in all their forms, for downloads and for models behind servers."""

from __future__ import annotations

import math
import time
from email.message import Message
from email.utils import formatdate

import pytest

from mmdbench.system.http import retry_after, seconds_of

NOW = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "6m0s"}, 360),
        ({"retry-after": "1h2m3.5s"}, 3723.5),
        ({"retry-after": "120ms"}, 0.12),
        ({"retry-after": "-30"}, 0),
        ({"retry-after-ms": "-1"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "9" * 400 + "d"}, None),
        ({"retry-after": "9" * 90 + "d"}, 8.64e94 * (1 - 1e-90)),
        ({"retry-after": "5 potatoes"}, None),
        ({"retry-after": "31536000"}, 31_536_000),
        ({"retry-after": formatdate(NOW + 45, usegmt=True)}, 45),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "2027-01-15T08:01:00Z"}, 60),
        ({"retry-after": str(int(NOW + 20))}, 20),
        ({"retry-after": str(int((NOW + 20) * 1000))}, 20),
        ({"x-ratelimit-reset-tokens": "6m0s"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(clock, headers, seconds):
    assert retry_after(headers) == (None if seconds is None else pytest.approx(seconds))


def test_an_absurd_number_is_finite_and_never_negative():
    for text in ("1e308", "1e15", "Thu, 31 Dec 9999 23:59:59 GMT", "-1e308"):
        seconds = seconds_of(text)
        assert seconds is not None
        assert 0 <= seconds < math.inf


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-remaining-requests": "4999",
          "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-reset-tokens": "6m0s"}, 9),
        ({"X-RateLimit-Reset": str(int(NOW + 30))}, 30),
        ({"X-RateLimit-Reset": str(int((NOW + 30) * 1000)), "X-RateLimit-Remaining": "0"}, 30),
        ({"X-RateLimit-Reset": "30", "X-RateLimit-Remaining": "7"}, None),
        ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:00Z",
          "anthropic-ratelimit-tokens-remaining": "0"}, 60),
        ({"RateLimit-Reset": "20"}, 20),
        ({"RateLimit": "limit=9, remaining=0, reset=30"}, 30),
        ({"RateLimit": '"minute";r=0;t=30, "hour";r=4;t=3600'}, 30),
        ({"retry-after": "5", "x-ratelimit-reset": "99"}, 5),
        ({"x-ratelimit-limit": "99", "ratelimit-policy": '"a";q=9;w=60'}, None),
    ],
)  # fmt: skip
def test_the_end_of_a_limit_is_read_where_nothing_remains_of_it(clock, headers, seconds):
    assert retry_after(headers, resets=True) == (None if seconds is None else pytest.approx(seconds))


def test_headers_of_the_standard_library_are_read_too():
    message = Message()
    message["Retry-After"] = "3"
    assert retry_after(message) == 3
