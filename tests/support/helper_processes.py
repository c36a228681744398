"""Helper processes of the openai adapter: a card that starts them, and those that are ready."""

from __future__ import annotations

import asyncio

from mmdbench.models.cards import ModelCard
from mmdbench.records import ImageBytes, Request
from pictures import picture, png


def card_for(url, **options):
    quick = {"backoff": 0.01, "timeout": 5.0, "concurrency": 32}
    return ModelCard("toy", "openai", model="toy-1", endpoint=url, options={**quick, **options})


def request():
    image = ImageBytes(png(picture(3, 8, 12)), "image/png")
    return Request("k" * 64, "Question 1?", "Question 1?", {}, (image,))


def ready_helpers(model):
    """The helpers of a model that take requests now."""
    helpers = model._opened_pool()._helpers  # noqa: SLF001 - no reply says which process asked for it
    return [helper for helper in helpers if helper.alive]


async def until_helpers_ask(model, count):
    """Send requests until so many helpers are ready."""
    for _ in range(400):
        await model.agenerate(request())
        if len(ready_helpers(model)) == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the helpers never were ready")
