"""A transformers model behind mmdbench's interface, in left-padded batches that fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from mmdbench.errors import ImageDecodeError
from mmdbench.models.instructions import Instruction
from mmdbench.records import Outcome, Question, Request
from mmdbench.scoring import OPENS_THOUGHT, begins_thought
from mmdbench.system.secrets import error_text

from .answers import outcome_of
from .batches import Batches, grouped
from .families import PROMPT_RULES
from .loading import LoadedModel, pixel_limits
from .prompts import PreparedRequest, prepare, render, with_ending
from .quantization import quantization_record
from .sampling import SeededSampling
from .settings import HfSettings

__all__ = ["THINKING_TOKENS", "HfModel"]

THINKING_TOKENS = 16384
"""The most tokens of an answer whose prompt opens a thought, unless the card sets another limit."""

_BATCH = {"cuda": 8}
_Work = tuple[int, PreparedRequest]


class HfModel:
    """One loaded checkpoint. `batch_size` is the preferred number of requests at once."""

    def __init__(
        self,
        loaded: LoadedModel,
        settings: HfSettings,
        version: str,
        instruction: Instruction | None = None,
    ) -> None:
        """A model that is asked as its family and settings say.

        Args:
            loaded: The checkpoint in memory.
            settings: The settings of the card.
            version: The adapter's version, for the fingerprint.
            instruction: The instruction that follows every question, None for none.
        """
        self._loaded = loaded
        self._family = loaded.checkpoint.family
        self._settings = settings
        self._version = version
        self._tokens = settings.max_new_tokens or self._usual_tokens()
        self._temperature = (
            self._family.temperature if settings.temperature is None else float(settings.temperature)
        )
        self._instruction = instruction
        ending = settings.mcq_ending
        self._ending = self._family.mcq_ending if ending is None else ending
        self.batch_size = settings.batch or _BATCH.get(loaded.device.type, 4)
        self._batches = Batches(self.batch_size, _is_memory, _release)

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: adapter, checkpoint, packages, precision, prompt rules, image options."""
        loaded, family = self._loaded, self._family
        sampling = {"do_sample": True, "temperature": self._temperature} if self._temperature else {}
        return {
            "adapter": "hf",
            "version": self._version,
            "family": family.name,
            "prompt_rules": PROMPT_RULES,
            "torch": torch.__version__.partition("+")[0],
            "transformers": metadata.version("transformers"),
            "repo": self._settings.repo if self._settings.folder is None else "folder",
            "checkpoint": loaded.checkpoint.version,
            "vision_tower": loaded.tower,
            "model": type(loaded.model).__name__,
            "dtype": str(loaded.dtype).removeprefix("torch."),
            "device": loaded.device.type,
            "attn": getattr(loaded.model.config, "_attn_implementation", None),
            "images": {
                "processor": type(loaded.processor.image_processor).__name__,
                **pixel_limits(family, self._settings),
            },
            "generation": {"do_sample": False, "max_new_tokens": self._tokens, **sampling},
            **({} if self._instruction is None else {"instruction": self._instruction.record()}),
            **self._changes(),
        }

    def _changes(self) -> dict[str, Any]:
        """The fingerprint of changes that the card makes to the prompt and the weights; empty without one."""
        settings = self._settings
        return {
            **({"chat_template": dict(settings.chat_template)} if settings.chat_template else {}),
            **quantization_record(settings.quantization),
            **({"lora": self._loaded.lora} if self._loaded.lora else {}),
        }

    def _usual_tokens(self) -> int:
        """The family's limit; a larger one, with a warning, where the prompt opens a thought."""
        usual = self._family.max_new_tokens
        asked = render("?", 1, self._family, self._loaded.processor, self._settings.chat_template)
        if usual >= THINKING_TOKENS or not begins_thought(asked):
            return usual
        logging.getLogger("mmdbench").warning(
            "%s thinks before it answers, in up to %d tokens. Another limit: --set max_new_tokens=NUMBER.",
            self._settings.repo if self._settings.folder is None else "The model",
            THINKING_TOKENS,
        )
        return THINKING_TOKENS

    def prompt(self, question: Question, default: str) -> str:
        """The benchmark's prompt, with the family's own closing sentence and instruction if it has them."""
        prompt = with_ending(question, default, self._ending)
        return prompt if self._instruction is None else self._instruction.after(prompt)

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """One outcome for each request, in their order. Raises only if every request failed."""
        outcomes: dict[int, Outcome] = {}
        work: list[_Work] = []
        variables = self._settings.chat_template
        for number, request in enumerate(requests):
            try:
                work.append((number, prepare(request, self._family, self._loaded.processor, variables)))
            except ImageDecodeError as error:
                outcomes[number] = Outcome("", "error", str(error))
        failures: list[Exception] = []
        for group in grouped(work, lambda item: item[1].shape(sizes=self._family.same_size)):
            for (number, _), answer in zip(group, self._batches.run(group, self._answer), strict=True):
                if isinstance(answer, Exception):
                    failures.append(answer)
                    outcomes[number] = Outcome("", "error", _reason(answer))
                else:
                    outcomes[number] = answer
        if failures and len(failures) == len(requests):
            raise failures[-1]  # nothing worked: the caller decides whether to continue
        return [outcomes[number] for number in range(len(requests))]

    def inputs(self, asked: Sequence[PreparedRequest]) -> Any:
        """The model's inputs for one batch: token ids (B×L, padded on the left), mask, pixels."""
        processor = self._loaded.processor
        texts = [item.text for item in asked]
        pictures = [list(item.pictures) for item in asked] if asked[0].pictures else None
        bos = processor.tokenizer.bos_token
        more: dict[str, Any] = dict(self._family.processor)
        if bos and texts[0].startswith(bos):
            more["add_special_tokens"] = False  # the template has written it already
        if pictures is not None:
            more["images"] = pictures
        batch = processor(text=texts, padding=True, return_tensors="pt", **more)
        return batch.to(self._loaded.device, self._loaded.dtype)

    def _answer(self, items: Sequence[_Work]) -> list[Outcome]:
        loaded = self._loaded
        batch = self.inputs([asked for _, asked in items])
        start = batch["input_ids"].shape[1]
        how: dict[str, Any] = dict(self._family.generate)
        if self._temperature:
            how["logits_processor"] = [SeededSampling(self._temperature, [asked.seed for _, asked in items])]
        with torch.inference_mode():
            ids = loaded.model.generate(**batch, do_sample=False, max_new_tokens=self._tokens, **how)
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        return [
            outcome_of(
                row,
                loaded.ends,
                loaded.processor.tokenizer,
                self._family.answer_tags,
                _details(asked, length),
            )
            for row, (_, asked), length in zip(ids[:, start:].tolist(), items, lengths, strict=True)
        ]


def _details(asked: PreparedRequest, length: int) -> dict[str, Any]:
    return {
        "usage": {"prompt": length},
        **({"placeholder_in_prompt": True} if asked.altered else {}),
        **({OPENS_THOUGHT: True} if begins_thought(asked.text) else {}),
    }


def _is_memory(error: BaseException) -> bool:
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    return on_cpu or isinstance(error, (torch.OutOfMemoryError, MemoryError))


def _release() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _reason(error: Exception) -> str:
    if _is_memory(error):
        return "out of memory for a single request: lower max_pixels or max_new_tokens in the model card"
    return error_text(error)
