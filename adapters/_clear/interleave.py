"""The loop: read the question, write a thought, restore the picture if it asks for that, and again.

Several samples go side by side: their texts are written as one batch, their pictures restored one
after the other. With the modes `text` and `think` the loop is one text long and pictures are seen
by the vision transformer alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from mmdbench.records import RESTORE_TAG
from mmdbench.system.digest import derive_seed

from .answers import has_answer
from .chunks import (
    Engine,
    append_ids,
    append_latent,
    append_picture,
    append_text,
    decode_latent,
    encode_picture,
    grid_of,
    picture_chunk,
    prefix_of,
)
from .context import Context
from .decoding import Choose, Written, greedy, sampled, write_texts
from .denoising import Guides, denoise
from .images import resized
from .settings import Dialogue

__all__ = ["Injection", "Sample", "Story", "converse"]

Stop = Literal["answer", "no tag", "turn limit", "token limit", "no picture"]
PHASES = ("image", "text", "denoise", "feedback", "decode")


@dataclass(frozen=True, slots=True)
class Sample:
    """What is asked: pictures and texts in their order, and the seed of all its random draws."""

    inputs: tuple[Image.Image | str, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Injection:
    """Stands in for what would be drawn or written, sample after sample alike; for proofs and tests.

    `vae_noise`: one [1, z, H/8, W/8] to a picture; `noise`: one [count, token values] to a
    restoration; `texts` replace what was written, `limits` the token limit, turn by turn;
    `pictures` replace the decoded ones where they are read again.
    """

    vae_noise: tuple[Tensor, ...] = ()
    noise: tuple[Tensor, ...] = ()
    texts: tuple[str, ...] = ()
    limits: tuple[int, ...] = ()
    pictures: tuple[Image.Image, ...] = ()


@dataclass
class Story:
    """What became of a sample: every text, every restoration, why it stopped and what took how long."""

    seed: int
    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    stop: Stop = "no tag"
    restorations: int = 0
    pictures: list[Image.Image] = field(default_factory=list)
    size: tuple[int, int] | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))


class _Teller:
    """One sample on its way through the loop."""

    def __init__(
        self, engine: Engine, sample: Sample, how: Dialogue, system: str | None, inject: Injection
    ) -> None:
        self.engine, self.how, self.inject = engine, how, inject
        self.story = Story(sample.seed)
        self.generator = torch.Generator().manual_seed(sample.seed)
        self.latent: Tensor | None = None
        with self.clock("text"):
            self.context = prefix_of(engine, system)
            self.without_image = prefix_of(engine, system) if self.restores else self.context
        pictures = 0
        for item in sample.inputs:
            if isinstance(item, str):
                self.read_text(item)
            else:
                self.read_picture(item, pictures)
                pictures += 1

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        _settle(self.engine)
        started = time.perf_counter()
        yield
        _settle(self.engine)
        self.story.seconds[phase] += time.perf_counter() - started

    @property
    def restores(self) -> bool:
        return self.how.mode == "interleave"

    def read_text(self, text: str) -> None:
        with self.clock("text"):
            shared = self.without_image is self.context and self.engine.speed.share_prefix
            self.context = append_text(self.engine, self.context, text)
            if shared:
                self.without_image = self.context
            elif self.restores:
                self.without_image = append_text(self.engine, self.without_image, text)

    def read_picture(self, picture: Image.Image, number: int) -> None:
        with self.clock("image"):
            engine = self.engine
            picture = resized(picture, engine.sizes.vae_transform)
            self.story.size = picture.size
            if self.restores:
                self.latent = encode_picture(engine, picture, self.vae_noise(picture.size, number))
                ids = grid_of(engine, picture.size)[2]
                self.context = append_latent(engine, self.context, self.latent, ids)
            self.context = append_picture(engine, self.context, picture_chunk(engine, picture))

    def vae_noise(self, size: tuple[int, int], number: int) -> Tensor:
        if self.inject.vae_noise:
            return self.inject.vae_noise[number]
        vae = self.engine.sizes.vae
        shape = (1, vae.latent_channels, size[1] // vae.downsample, size[0] // vae.downsample)
        return torch.randn(shape, generator=self.generator)

    def start_noise(self, count: int) -> Tensor:
        if self.inject.noise:
            return self.inject.noise[self.story.restorations]
        return torch.randn((count, self.engine.sizes.token_values), generator=self.generator)

    def hear(self, written: Written) -> tuple[Stop | None, str]:
        """Note what was written; why the sample ends with it (None: it goes on), and the text."""
        story, turn = self.story, len(self.story.texts)
        text = self.inject.texts[turn] if turn < len(self.inject.texts) else written.text
        story.texts.append(text)
        story.tokens.append(len(written.tokens))
        story.seconds["text"] += written.seconds
        asks = self.restores and RESTORE_TAG in text
        if has_answer(text):
            return "answer", text
        if not asks:
            return ("no tag" if written.ended else "token limit"), text
        if len(story.texts) == self.how.max_turns:
            return "turn limit", text
        return ("no picture" if story.size is None else None), text

    def restore(self, written: Written, text: str) -> None:
        """Take the thought into the contexts, restore the picture and feed it back."""
        before = self.context
        with self.clock("text"):
            without_text = before
            if not self.how.consider_think:
                without_text = append_text(self.engine, before, text.replace(RESTORE_TAG, ""))
            shared = self.without_image is before and self.engine.speed.batch_guidance
            self.context = self.append_written(written, text)
            self.without_image = (
                self.context if shared else append_text(self.engine, self.without_image, text)
            )
        guides = Guides(self.context, without_text, self.without_image)
        with self.clock("denoise"):
            tokens = self.restored(guides)
        picture = self.picture(tokens)
        self.story.restorations += 1
        with self.clock("feedback"):
            self.feed_back(tokens, picture)

    def append_written(self, written: Written, text: str) -> Context:
        """The context with the text as a chunk of its own; what decoding has read is not read again."""
        engine = self.engine
        if engine.speed.reuse_decoded and engine.tokenizer.encode(text) == list(written.tokens):
            return append_ids(engine, written.context, [engine.tokenizer.eos])
        return append_text(engine, self.context, text)

    def restored(self, guides: Guides) -> Tensor:
        assert self.story.size is not None
        assert self.latent is not None
        if self.how.latent_source == "degraded":
            return self.latent
        noise = self.start_noise(len(self.latent))
        return denoise(self.engine, guides, noise, self.story.size, self.how.denoising)

    def picture(self, tokens: Tensor) -> Image.Image | None:
        """The restored picture, if anything needs it."""
        needed = self.how.feedback in ("reencode", "both")
        if self.engine.speed.skip_pictures and not needed:
            return None
        assert self.story.size is not None
        with self.clock("decode"):
            picture = decode_latent(self.engine, tokens, self.story.size)
        self.story.pictures.append(picture)
        return self.inject.pictures[self.story.restorations] if self.inject.pictures else picture

    def feed_back(self, tokens: Tensor, picture: Image.Image | None) -> None:
        engine, feedback = self.engine, self.how.feedback
        assert self.story.size is not None
        if feedback in ("bridge", "both"):
            ids = grid_of(engine, self.story.size)[2]
            self.context = append_latent(engine, self.context, tokens, ids)
            self.without_image = self.context
        if feedback in ("reencode", "both"):
            assert picture is not None
            chunk = picture_chunk(engine, resized(picture, engine.sizes.vae_transform))
            shared = self.without_image is self.context and engine.speed.batch_guidance
            self.context = append_picture(engine, self.context, chunk)
            self.without_image = self.context if shared else append_picture(engine, self.without_image, chunk)


def converse(
    engine: Engine,
    samples: Sequence[Sample],
    how: Dialogue,
    system: str | None,
    inject: Injection | None = None,
) -> list[Story]:
    """Ask all samples, side by side; a story each, in their order."""
    inject = inject or Injection()
    with torch.inference_mode():
        tellers = [_Teller(engine, sample, how, system, inject) for sample in samples]
        active, turn = list(range(len(tellers))), 0
        choose = _chooser(how, tellers)
        while active:
            limit = inject.limits[turn] if turn < len(inject.limits) else how.max_new_tokens
            active = _turn(engine, tellers, active, limit, choose)
            turn += 1
    return [teller.story for teller in tellers]


def _turn(
    engine: Engine, tellers: Sequence[_Teller], active: Sequence[int], limit: int, choose: Choose
) -> list[int]:
    """One text for every active sample, and a restoration for those that ask; who goes on."""

    def choose_among(logits: Tensor, rows: Sequence[int]) -> list[int]:
        return choose(logits, [active[row] for row in rows])

    written = write_texts(engine, [tellers[i].context for i in active], limit, choose_among)
    going = []
    for index, text in zip(active, written, strict=True):
        stop, said = tellers[index].hear(text)
        if stop is None:
            tellers[index].restore(text, said)
            going.append(index)
        else:
            tellers[index].story.stop = stop
    return going


def _chooser(how: Dialogue, tellers: Sequence[_Teller]) -> Choose:
    if how.temperature <= 0:
        return greedy
    # Texts draw from a generator of their own, so that sampling them leaves the pictures' noise alone.
    seeds = [derive_seed("text", teller.story.seed) for teller in tellers]
    return sampled(how.temperature, how.top_p, [torch.Generator().manual_seed(seed) for seed in seeds])


def _settle(engine: Engine) -> None:
    if engine.model.device.type == "cuda":
        torch.cuda.synchronize(engine.model.device)
