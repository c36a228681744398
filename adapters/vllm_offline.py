"""`vllm_offline`: a checkpoint in vLLM, in this process, without a server.

`--model vllm-offline:<owner/name or folder>[@revision]`. Every batch is one call of `LLM.chat`, in which vLLM
begins requests as others end. `engine` takes any argument of vLLM's `LLM` by its name::

    [my-qwen]
    adapter = "vllm_offline"
    model = "Qwen/Qwen3-VL-8B-Instruct"
    options = { tensor_parallel = 2, engine = { max_model_len = 32768 } }
    generation = { temperature = 0, max_tokens = 2048 }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

from mmdbench.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.finish_reasons import FINISHED, TRUNCATED, finish_kind
from mmdbench.models.instructions import INSTRUCTION_OPTIONS, Instruction, find_instruction
from mmdbench.records import Outcome, Question, Request
from mmdbench.scoring import OPENS_THOUGHT, begins_thought
from mmdbench.system.bounds import require_at_least
from mmdbench.system.secrets import error_text

from ._hf.checkpoint import folder_version, hub_commit
from ._openai_api.pictures import data_uri

__all__ = ["ADAPTER_VERSION", "VllmModel", "VllmSettings", "check_card", "load"]

ADAPTER_VERSION = "1"

_SET_HERE = {
    "model": "the card's model",
    "revision": "<model>@<revision>",
    "tensor_parallel_size": "tensor_parallel",
}
_NO_CHANGE = ("gpu_memory_utilization",)  # of a reply


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """The options of a card.

    `batch` is the most requests of one call; `tensor_parallel` the number of GPUs that share the weights;
    `engine` are further arguments of vLLM's `LLM`; `chat_template` variables of the checkpoint's chat
    template; `system` a system prompt; `image_first` puts pictures before the text.
    """

    batch: int = 256
    tensor_parallel: int = 1
    engine: Mapping[str, Any] = field(default_factory=dict)
    chat_template: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    image_first: bool = True


class VllmModel:
    """A checkpoint in vLLM, which is loaded by `check` or by the first request."""

    def __init__(self, card: ModelCard, settings: VllmSettings, instruction: Instruction | None) -> None:
        """A model that is not loaded yet.

        Args:
            card: The model card.
            settings: Its options.
            instruction: The instruction that follows every question, None for none.

        Raises:
            ModelError: There is no such checkpoint.
        """
        self._card, self._settings, self._instruction = card, settings, instruction
        path = Path(card.model).expanduser()
        self._repo, _, revision = (str(path), "", "") if path.is_dir() else card.model.partition("@")
        self._commit = "" if path.is_dir() else hub_commit(self._repo, revision)
        self._version = self._commit or folder_version(path)
        self._llm: Any = None
        self.batch_size = settings.batch

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: adapter, vLLM's version, checkpoint, arguments of the engine and of the prompt."""
        settings = self._settings
        engine = {name: value for name, value in settings.engine.items() if name not in _NO_CHANGE}
        return {
            "adapter": "vllm_offline",
            "version": ADAPTER_VERSION,
            "vllm": metadata.version("vllm"),
            "repo": self._repo if self._commit else "folder",
            "checkpoint": self._version,
            "engine": {"tensor_parallel_size": settings.tensor_parallel, **engine},
            "chat_template": dict(settings.chat_template),
            "system": settings.system,
            "image_first": settings.image_first,
            **({} if self._instruction is None else {"instruction": self._instruction.record()}),
        }

    def check(self) -> None:
        """Load the checkpoint. Raises ModelError if vLLM cannot, or does not know a generation setting."""
        self._sampling({**self._card.generation}, 0)
        self._engine()

    def prompt(self, _question: Question, default: str) -> str:
        """The benchmark's prompt, followed by the card's instruction if it has one."""
        return default if self._instruction is None else self._instruction.after(default)

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """One outcome for each request, in their order. Raises if vLLM refuses one of them."""
        llm = self._engine()
        variables = dict(self._settings.chat_template) or None
        try:
            outputs = llm.chat(
                [self._messages(request) for request in requests],
                [self._sampling(request.generation, request.seed) for request in requests],
                use_tqdm=False,
                chat_template_kwargs=variables,
            )
        except Exception as error:
            if type(error).__name__ == "EngineDeadError":
                raise ModelError(f"vLLM's engine has ended: {error}.") from error
            raise
        if len(outputs) != len(requests):
            # An earlier call that failed left requests in the engine: no answer may go to another question.
            raise RuntimeError(f"vLLM gave {len(outputs)} answers to {len(requests)} requests")
        return [_outcome(output) for output in outputs]

    def _engine(self) -> Any:
        if self._llm is None:
            settings = self._settings
            place = {"revision": self._commit} if self._commit else {}
            arguments = {"tensor_parallel_size": settings.tensor_parallel, **place, **settings.engine}
            try:
                self._llm = import_module("vllm").LLM(self._repo, **arguments)
            except Exception as error:
                raise ModelError(
                    f"vLLM cannot load {self._card.name}: {error_text(error)}",
                    hint="Its arguments are set with --set tensor_parallel=… and --set engine.NAME=….",
                ) from error
        return self._llm

    def _sampling(self, generation: Mapping[str, Any], seed: int) -> Any:
        # A limit of vLLM's own is 16 tokens, which no answer fits into; a seed is for sampling alone.
        drawn = {"seed": seed} if generation.get("temperature", 1.0) else {}
        try:
            return import_module("vllm").SamplingParams(**{"max_tokens": 2048, **drawn, **generation})
        except Exception as error:
            raise UsageError(
                f"vLLM does not take the generation settings of {self._card.name}: {error}",
                hint="They are the names of vLLM's SamplingParams.",
            ) from error

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        text: list[dict[str, Any]] = [{"type": "text", "text": request.prompt}]
        pictures = [{"type": "image_url", "image_url": {"url": data_uri(image)}} for image in request.images]
        content = [*pictures, *text] if self._settings.image_first else [*text, *pictures]
        system = self._settings.system
        turns = [{"role": "system", "content": system}] if system else []
        return [*turns, {"role": "user", "content": content if pictures else request.prompt}]


def load(card: ModelCard) -> VllmModel:
    """Open the model of a card; weights are loaded before the first request.

    Raises UsageError or UnknownNameError for options that do not fit, MissingExtraError without vLLM,
    ModelError for a checkpoint that is not there.
    """
    settings = _read_settings(card)
    if util.find_spec("vllm") is None:
        raise MissingExtraError("vllm", extra="vllm")
    return VllmModel(card, settings, find_instruction(card.options))


def check_card(card: ModelCard) -> None:
    """Raise for options that do not fit, without vLLM, and for a checkpoint that is not there."""
    load(card)


def _read_settings(card: ModelCard) -> VllmSettings:
    where = f"the model card [{card.name}]"
    known = {f.name: f for f in fields(VllmSettings)}
    values = {key: value for key, value in card.options.items() if key not in INSTRUCTION_OPTIONS}
    for key, value in values.items():
        if key not in known:
            raise UnknownNameError(f"option in {where}:", key, (*known, *INSTRUCTION_OPTIONS))
        if key in ("batch", "tensor_parallel"):
            require_at_least(f"{key} in {where}", value, 1, whole=True)
        elif not isinstance(value, {"system": str, "image_first": bool}.get(key, Mapping)):
            what = {"system": "a text", "image_first": "true or false"}.get(key, "a table")
            raise UsageError(f"{key} in {where} must be {what}, got {value!r}.")
    for key in values.get("engine", {}):
        if key in _SET_HERE:
            raise UsageError(f"engine.{key} in {where} has a place of its own: {_SET_HERE[key]}.")
    if not card.model:
        raise UsageError(
            f"The card {card.name!r} names no checkpoint.", hint="Write vllm-offline:<owner/name>."
        )
    return VllmSettings(**values)


def _outcome(output: Any) -> Outcome:
    """The outcome of vLLM's output for one request."""
    answer = output.outputs[0]
    finish = str(answer.finish_reason or "")
    usage = {"prompt": len(output.prompt_token_ids or ()), "completion": len(answer.token_ids)}
    details: dict[str, Any] = {"finish_reason": finish, "usage": usage}
    if begins_thought(output.prompt or ""):
        details[OPENS_THOUGHT] = True
    text, kind = answer.text.strip(), finish_kind(finish)
    if kind == TRUNCATED:
        return Outcome(text, "truncated", f"no end within {usage['completion']} tokens", details)
    if kind != FINISHED:
        return Outcome("", "error", f"vLLM ended the answer with {finish or 'no reason'}", details)
    if not text:
        return Outcome("", "empty", "the model ended without any text", details)
    return Outcome(text, "ok", "", details)
