"""The dialogue loop: write a text, restore the picture if the text asks for it, and repeat.

Several dialogues run side by side: their texts are written as one batch, their pictures are
restored one after the other. In the modes `text` and `think` a dialogue has one text, and pictures
go through the vision transformer alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
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
from .decoding import Choose, WrittenText, greedy, sampled, write_texts
from .denoising import GuidanceContexts, denoise
from .images import resized
from .settings import DialogueSettings

__all__ = ["DialogueInput", "DialogueResult", "Injection", "Restore", "run_dialogues"]

Stop = Literal["answer", "no tag", "turn limit", "token limit", "no picture"]
PHASES = ("image", "text", "denoise", "feedback", "decode")

Restore = Callable[[int, Context, tuple[int, int]], Tensor]
"""Restores a picture: from the number of its dialogue, the context, and width and height in pixels, to
latent tokens [count, token values]."""


@dataclass(frozen=True, slots=True)
class DialogueInput:
    """The input of one dialogue: pictures and texts in their order, and the seed of its random draws."""

    inputs: tuple[Image.Image | str, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Injection:
    """Fixed values in place of drawn noise and written texts, the same in every dialogue.

    Attributes:
        vae_noise: For each picture, [1, z, H/8, W/8].
        noise: For each restoration, [count, token values].
        texts: For each turn, the text in place of the written one.
        limits: For each turn, the token limit.
        pictures: For each restoration, the picture that is read again in place of the decoded one.
    """

    vae_noise: tuple[Tensor, ...] = ()
    noise: tuple[Tensor, ...] = ()
    texts: tuple[str, ...] = ()
    limits: tuple[int, ...] = ()
    pictures: tuple[Image.Image, ...] = ()


@dataclass
class DialogueResult:
    """The result of one dialogue.

    Attributes:
        seed: The seed of its random draws.
        texts: The texts, one for each turn.
        tokens: The number of tokens of each text.
        stop: The reason why it ended.
        restorations: The number of restored pictures.
        pictures: The restored pictures, if they were decoded.
        size: The size (width, height) of the last picture of the input, in pixels.
        seconds: Seconds by phase.
        ids: The ids of each text as they were written, without its begin and end.
        ended: For each text, False if it was cut at the token limit.
        latents: The latent tokens of the restored pictures, [count, token values].
    """

    seed: int
    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    stop: Stop = "no tag"
    restorations: int = 0
    pictures: list[Image.Image] = field(default_factory=list)
    size: tuple[int, int] | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    ids: list[tuple[int, ...]] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)


class _DialogueRun:
    """One dialogue in progress: its contexts with and without the picture, and its result so far."""

    def __init__(
        self,
        engine: Engine,
        given: DialogueInput,
        settings: DialogueSettings,
        system: str | None,
        inject: Injection,
    ) -> None:
        self.engine, self.settings, self.inject = engine, settings, inject
        self.result = DialogueResult(given.seed)
        self.generator = torch.Generator().manual_seed(given.seed)
        self.latent: Tensor | None = None
        self.restore_by: Callable[[Context, tuple[int, int]], Tensor] | None = None
        with self.clock("text"):
            self.context = prefix_of(engine, system)
            self.without_image = prefix_of(engine, system) if self.restores else self.context
        pictures = 0
        for item in given.inputs:
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
        self.result.seconds[phase] += time.perf_counter() - started

    @property
    def restores(self) -> bool:
        return self.settings.mode == "interleave"

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
            self.result.size = picture.size
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
            return self.inject.noise[self.result.restorations]
        return torch.randn((count, self.engine.sizes.token_values), generator=self.generator)

    def record(self, written: WrittenText) -> tuple[Stop | None, str]:
        """Record a text; returns the reason to stop, None if there is none, and the text."""
        result, turn = self.result, len(self.result.texts)
        text = self.inject.texts[turn] if turn < len(self.inject.texts) else written.text
        result.texts.append(text)
        result.tokens.append(len(written.tokens))
        result.ids.append(written.tokens)
        result.ended.append(written.ended)
        result.seconds["text"] += written.seconds
        asks = self.restores and RESTORE_TAG in text
        if has_answer(text):
            return "answer", text
        if not asks:
            return ("no tag" if written.ended else "token limit"), text
        if len(result.texts) == self.settings.max_turns:
            return "turn limit", text
        return ("no picture" if result.size is None else None), text

    def restore(self, written: WrittenText, text: str) -> None:
        """Append the text to the contexts, restore the picture and append that, too."""
        before = self.context
        with self.clock("text"):
            without_text = before
            if not self.settings.consider_think:
                without_text = append_text(self.engine, before, text.replace(RESTORE_TAG, ""))
            shared = self.without_image is before and self.engine.speed.batch_guidance
            self.context = self.append_written(written, text)
            self.without_image = (
                self.context if shared else append_text(self.engine, self.without_image, text)
            )
        guides = GuidanceContexts(self.context, without_text, self.without_image)
        with self.clock("denoise"):
            tokens = self.restored(guides)
        self.result.latents.append(tokens)
        picture = self.picture(tokens)
        self.result.restorations += 1
        with self.clock("feedback"):
            self.read_restored(tokens, picture)

    def append_written(self, written: WrittenText, text: str) -> Context:
        """The context with the text as a chunk of its own; reuses the rows that decoding has computed."""
        engine = self.engine
        # Training scores the ids as written, which a text may not give back.
        exact = self.restore_by is not None and text == written.text
        if exact or (engine.speed.reuse_decoded and engine.tokenizer.encode(text) == list(written.tokens)):
            return append_ids(engine, written.context, [engine.tokenizer.eos])
        return append_text(engine, self.context, text)

    def restored(self, guides: GuidanceContexts) -> Tensor:
        assert self.result.size is not None
        assert self.latent is not None
        if self.settings.latent_source == "degraded":
            return self.latent
        if self.restore_by is not None:
            return self.restore_by(guides.main, self.result.size)
        noise = self.start_noise(len(self.latent))
        return denoise(self.engine, guides, noise, self.result.size, self.settings.denoising)

    def picture(self, tokens: Tensor) -> Image.Image | None:
        """The restored picture, if anything needs it."""
        needed = self.settings.feedback in ("reencode", "both")
        if self.engine.speed.skip_pictures and not needed:
            return None
        assert self.result.size is not None
        with self.clock("decode"):
            picture = decode_latent(self.engine, tokens, self.result.size)
        self.result.pictures.append(picture)
        return self.inject.pictures[self.result.restorations] if self.inject.pictures else picture

    def read_restored(self, tokens: Tensor, picture: Image.Image | None) -> None:
        engine, feedback = self.engine, self.settings.feedback
        assert self.result.size is not None
        if feedback in ("bridge", "both"):
            ids = grid_of(engine, self.result.size)[2]
            self.context = append_latent(engine, self.context, tokens, ids)
            self.without_image = self.context
        if feedback in ("reencode", "both"):
            assert picture is not None
            chunk = picture_chunk(engine, resized(picture, engine.sizes.vae_transform))
            shared = self.without_image is self.context and engine.speed.batch_guidance
            self.context = append_picture(engine, self.context, chunk)
            self.without_image = self.context if shared else append_picture(engine, self.without_image, chunk)


def run_dialogues(
    engine: Engine,
    inputs: Sequence[DialogueInput],
    settings: DialogueSettings,
    system: str | None,
    inject: Injection | None = None,
    restore: Restore | None = None,
) -> list[DialogueResult]:
    """Run dialogues side by side.

    Args:
        engine: The loaded model.
        inputs: The dialogues' inputs.
        settings: The settings of all of them.
        system: The system prompt, None for none.
        inject: Fixed values in place of drawn ones, for tests and training.
        restore: Restores pictures in place of `denoise`, for training; contexts then hold texts by the ids
            as they were written.

    Returns:
        The result of each dialogue, in their order.
    """
    inject = inject or Injection()
    with torch.inference_mode():
        runs = [_DialogueRun(engine, one, settings, system, inject) for one in inputs]
        for number, run in enumerate(runs):
            run.restore_by = None if restore is None else partial(restore, number)
        active, turn = list(range(len(runs))), 0
        choose = _chooser(settings, runs)
        while active:
            limit = inject.limits[turn] if turn < len(inject.limits) else settings.max_new_tokens
            active = _turn(engine, runs, active, limit, choose)
            turn += 1
    return [run.result for run in runs]


def _turn(
    engine: Engine, runs: Sequence[_DialogueRun], active: Sequence[int], limit: int, choose: Choose
) -> list[int]:
    """One text for every active dialogue, and the restorations asked for; returns those to continue."""

    def choose_among(logits: Tensor, rows: Sequence[int]) -> list[int]:
        return choose(logits, [active[row] for row in rows])

    written = write_texts(engine, [runs[i].context for i in active], limit, choose_among)
    continued = []
    for index, answer in zip(active, written, strict=True):
        stop, text = runs[index].record(answer)
        if stop is None:
            runs[index].restore(answer, text)
            continued.append(index)
        else:
            runs[index].result.stop = stop
    return continued


def _chooser(settings: DialogueSettings, runs: Sequence[_DialogueRun]) -> Choose:
    if settings.temperature <= 0:
        return greedy
    # Texts draw from a generator of their own, so that sampling them leaves the pictures' noise alone.
    seeds = [derive_seed("text", run.result.seed) for run in runs]
    return sampled(
        settings.temperature, settings.top_p, [torch.Generator().manual_seed(seed) for seed in seeds]
    )


def _settle(engine: Engine) -> None:
    if engine.model.device.type == "cuda":
        torch.cuda.synchronize(engine.model.device)
