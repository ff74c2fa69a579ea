"""Runs exported programs by the names that optimum-executorch's classes and their methods have.

``conformance.load`` is underneath; what these take and do not honour is refused by name.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from conformance.errors import ConformanceError
from conformance.inference import LoadedModel, load
from conformance.inference.base import Statistics
from conformance.sessions.protocol import SessionError
from exporters.artifact import PROGRAM
from exporters.config import ExportConfig

if TYPE_CHECKING:
    from typing_extensions import Self

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
REFUSED: Mapping[str, tuple[Any, str]] = {
    "trust_remote_code": (False, "code that comes with a checkpoint is never run"),
    "use_auth_token": (None, "log in with 'hf auth login', or set HF_TOKEN"),
    "token": (None, "log in with 'hf auth login', or set HF_TOKEN"),
    "subfolder": ("", "give the directory itself"),
    "cache_dir": (None, "set HF_HOME for the hub's cache, ZOO_CACHE for programs"),
    "force_download": (False, "delete the snapshot from the hub's cache"),
    "local_files_only": (False, "set HF_HUB_OFFLINE=1"),
    "file_name": (None, "give the path of the .pte"),
}
"""Options of optimum's ``from_pretrained`` with the one value that is taken, and what to do instead."""


class ExecuTorchModel:
    """What the classes share.

    Args:
        model: A loaded program.
        config: The transformers configuration of the checkpoint, kept for whoever asks.
    """

    tasks: ClassVar[tuple[str, ...]]
    """The tasks of its programs; the first is exported for."""

    def __init__(self, model: LoadedModel, config: Any = None) -> None:
        self.model: Any = model
        self.config = config

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | os.PathLike[str],
        *,
        export: bool | None = None,
        recipe: str | None = None,
        task: str | None = None,
        revision: str | None = None,
        config: Any = None,
        threads: int = 1,
        **options: Any,
    ) -> Self:
        """Load a program, or export a model and load that.

        Args:
            model_id: A directory with a ``.pte`` in it, a checkpoint directory, a registry name (its twin), or a hub id.
            export: ``True`` exports even if there is a ``.pte``, ``False`` refuses to.
            recipe: ``xnnpack`` if none is given.
            task: One of ``tasks``, if it is not the first.
            revision: Commit or branch of a hub id.
            config: The transformers configuration.
            threads: Threads of the runtime.
            options: Those of ``zoo export``, such as ``use_custom_sdpa`` and ``qlinear``.

        Raises:
            ConformanceError: an option cannot be honoured.
            ExportError: as ``exporters.export``.
            ZooError: there is no such model.
        """
        options = _taken(options)
        place = Path(model_id)
        found = place if place.suffix == ".pte" and place.is_file() else place / PROGRAM
        if found.is_file() and not export:
            given = [*options, *(["recipe"] if recipe else []), *(["task"] if task else [])]
            if given:
                raise ConformanceError(
                    f"{given[0]} belongs to an export, and {found} is a program already; leave it out, or say export=True."
                )
            return cls._of(load(found, threads=threads), config)
        if export is False:
            raise ConformanceError(f"export=False, and {model_id} holds no {PROGRAM}; 'zoo export' makes one.")
        return cls._of(_exported(model_id, task or cls.tasks[0], cls.tasks, recipe, revision, options, threads), config)

    @classmethod
    def _of(cls, model: LoadedModel, config: Any) -> Self:
        if model.task not in cls.tasks:
            raise SessionError(f"{model.program} does {model.task}, and {cls.__name__} runs {' and '.join(cls.tasks)}.")
        return cls(model, config)

    @property
    def stats(self) -> Statistics:
        """Figures of the last call."""
        found: Statistics = self.model.statistics
        return found

    def close(self) -> None:
        """Free the program."""
        self.model.close()

    def _constant(self, name: str) -> Any:
        session = self.model.session
        return session.constant(name) if name in session.methods else None

    @property
    def use_kv_cache(self) -> bool:
        return bool(self._constant("use_kv_cache"))

    @property
    def max_cache_size(self) -> int | None:
        """Positions of a sequence."""
        return getattr(self.model.session, "max_seq_len", None)

    @property
    def dtype(self) -> int | None:
        """ExecuTorch's ``ScalarType``."""
        found: int | None = self._constant("get_dtype")
        return found

    @property
    def bos_token_id(self) -> int | None:
        found: int | None = self._constant("get_bos_id")
        return found

    @property
    def eos_token_ids(self) -> list[int]:
        return list(self.model.eos_ids)

    @property
    def vocab_size(self) -> int | None:
        found: int | None = self._constant("get_vocab_size")
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _new_tokens(self, max_seq_len: int | None, prompt: int) -> int:
        """How many tokens may be written, of a limit on prompt and answer together."""
        capacity = int(self.model.max_seq_len)
        if max_seq_len is not None and max_seq_len > capacity:
            warnings.warn(
                f"max_seq_len={max_seq_len} is more than the {capacity} that the cache holds; taken as {capacity}.",
                stacklevel=3,
            )
        room = min(max_seq_len or capacity, capacity) - prompt
        if room < 1:
            raise SessionError(
                f"the prompt has {prompt} tokens and max_seq_len is {max_seq_len or capacity}: nothing can follow."
            )
        return room


class ExecuTorchModelForCausalLM(ExecuTorchModel):
    """``text-generation``."""

    tasks = ("text-generation",)

    def forward(self, input_ids: Tensor, cache_position: Tensor | None = None) -> Tensor:
        """Logits [1, n, vocabulary] of tokens [1, n] at consecutive positions [n], from 0 on if none are given."""
        start = 0 if cache_position is None else int(cache_position[0])
        logits: Tensor = self.model(input_ids, position=start).logits
        return logits

    def generate(
        self, prompt_tokens: Sequence[int], echo: bool = False, pos_base: int = 0, max_seq_len: int | None = None
    ) -> list[int]:
        """Continue token ids greedily.

        Args:
            prompt_tokens: Token ids.
            echo: Return the prompt, too.
            pos_base: 0; a sequence begins there.
            max_seq_len: Tokens of prompt and answer at most; ``None`` takes what the cache holds.
        """
        _begins_at_zero(pos_base)
        said = self.model.generate(prompt_tokens, max_new_tokens=self._new_tokens(max_seq_len, len(prompt_tokens)))
        return [*(said.prompt_ids if echo else ()), *said.ids]

    def text_generation(self, tokenizer: Any, prompt: str, echo: bool = True, max_seq_len: int | None = None) -> str:
        """Continue a text greedily; ``echo`` returns the prompt, too."""
        ids = self.generate(tokenizer(prompt)["input_ids"], echo=echo, max_seq_len=max_seq_len)
        return str(tokenizer.decode(ids, skip_special_tokens=True))


class ExecuTorchModelForSeq2SeqLM(ExecuTorchModel):
    """``text2text-generation``."""

    tasks = ("text2text-generation",)

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits [1, m, vocabulary] of ``decoder_input_ids`` [1, m] about a source [1, n]."""
        logits: Tensor = self.model(input_ids, decoder_input_ids, attention_mask).logits
        return logits

    def generate(self, input_ids: Tensor, echo: bool = False, pos_base: int = 0, max_seq_len: int | None = None) -> list[int]:
        """Write greedily about a source [1, n]; ``echo`` returns what a text begins with, too."""
        _begins_at_zero(pos_base)
        room = self._new_tokens(max_seq_len, len(self.model.session.prompt))
        said = self.model.generate(input_ids, max_new_tokens=room)
        return [*(said.prompt_ids if echo else ()), *said.ids]

    def text_generation(self, tokenizer: Any, prompt: str, echo: bool = True, max_seq_len: int | None = None) -> str:
        """Write greedily about a text; the source is never part of the answer."""
        ids = self.generate(tokenizer(prompt, return_tensors="pt")["input_ids"], echo=echo, max_seq_len=max_seq_len)
        return str(tokenizer.decode(ids, skip_special_tokens=True))


class ExecuTorchModelForSpeechSeq2Seq(ExecuTorchModel):
    """``automatic-speech-recognition`` with an encoder and its decoder."""

    tasks = ("automatic-speech-recognition",)

    def forward(self, input_features: Tensor, decoder_input_ids: Tensor | None = None) -> Tensor:
        """Logits [1, m, vocabulary] of ``decoder_input_ids`` [1, m] about a sound as the feature extractor made it."""
        logits: Tensor = self.model(input_features, decoder_input_ids).logits
        return logits

    def generate(
        self, input_features: Tensor, echo: bool = False, pos_base: int = 0, max_seq_len: int | None = None
    ) -> list[int]:
        """Write greedily about a sound as the feature extractor made it."""
        _begins_at_zero(pos_base)
        room = self._new_tokens(max_seq_len, len(self.model.session.prompt))
        said = self.model.generate(input_features, max_new_tokens=room)
        return [*(said.prompt_ids if echo else ()), *said.ids]

    def transcribe(self, tokenizer: Any, input_features: Tensor, echo: bool = True, max_seq_len: int | None = None) -> str:
        """The text of a sound as the feature extractor made it."""
        ids = self.generate(input_features, echo=echo, max_seq_len=max_seq_len)
        return str(tokenizer.decode(ids, skip_special_tokens=True))


class ExecuTorchModelForMaskedLM(ExecuTorchModel):
    """``fill-mask``."""

    tasks = ("fill-mask",)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits [1, n, vocabulary]."""
        logits: Tensor = self.model(input_ids, attention_mask).logits
        return logits


class ExecuTorchModelForImageClassification(ExecuTorchModel):
    """``image-classification``."""

    tasks = ("image-classification",)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits [1, classes]."""
        logits: Tensor = self.model(pixel_values).logits
        return logits


class ExecuTorchModelForMultiModalToText(ExecuTorchModel):
    """``image-text-to-text`` and ``audio-text-to-text``."""

    tasks: ClassVar[tuple[str, ...]] = ("image-text-to-text", "audio-text-to-text")

    def generate(
        self,
        prompt_tokens: Tensor,
        echo: bool = False,
        pos_base: int = 0,
        max_seq_len: int | None = None,
        multimodal_features: Tensor | None = None,
    ) -> list[int]:
        """Continue token ids [1, n] greedily; ``multimodal_features`` has a row for each image or sound."""
        _begins_at_zero(pos_base)
        name = "pixel_values" if self.model.task == "image-text-to-text" else "input_features"
        features = {} if multimodal_features is None else {name: multimodal_features}
        room = self._new_tokens(max_seq_len, prompt_tokens.shape[-1])
        said = self.model.generate(prompt_tokens, features=features, max_new_tokens=room)
        return [*(said.prompt_ids if echo else ()), *said.ids]

    def text_generation(
        self,
        processor: Any = None,
        tokenizer: Any = None,
        input_conversation: Sequence[Mapping[str, Any]] = (),
        echo: bool = True,
        max_seq_len: int | None = None,
    ) -> str:
        """Answer a conversation of one turn of the user.

        Args:
            processor: ``None``: what prepares images and sounds comes from beside the program.
            tokenizer: As ``processor``.
            input_conversation: Messages as chat templates take them; parts of the content have the type ``text``, ``image`` or
                ``audio``, the latter with a local file (``path``) or what was read (``image``, ``audio``).
            echo: Return the question's text, too.
            max_seq_len: Tokens of prompt and answer at most.
        """
        for name, value in (("processor", processor), ("tokenizer", tokenizer)):
            if value is not None:
                raise ConformanceError(f"{name} is the one beside the program; leave it out.")
        prompt, images, sounds = _turn(input_conversation)
        said = self.model.generate(
            prompt,
            images=images,
            sounds=sounds,
            max_new_tokens=None if max_seq_len is None else self._new_tokens(max_seq_len, 0),
        )
        return str(prompt + said.text if echo else said.text)


class ExecuTorchModelForImageTextToTextCausalLM(ExecuTorchModelForMultiModalToText):
    """A program that looks at images and writes, as ``executorch.extension.llm.optimum`` has it.

    Args:
        model: What ``export_to_executorch_with_xnnpack`` returns, or a loaded program.
        config: The transformers configuration of the checkpoint.
        threads: Threads of the runtime.
    """

    tasks = ("image-text-to-text",)

    def __init__(self, model: Any, config: Any = None, *, threads: int = 1) -> None:
        if not isinstance(model, LoadedModel):
            self._directory = tempfile.TemporaryDirectory()
            path = Path(self._directory.name) / PROGRAM
            with path.open("wb") as file:
                model.write_to_file(file)
            model = load(path, task=self.tasks[0], threads=threads)
        super().__init__(model, config)

    @property
    def session(self) -> Any:
        """The session underneath."""
        return self.model.session

    def generate(  # type: ignore[override]
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        *,
        max_new_tokens: int = 64,
        eos_token_id: int | list[int] | None = None,
    ) -> Tensor:
        """Continue a prompt greedily.

        Args:
            input_ids: [1, n] int64, with the placeholders of every image.
            pixel_values: A row for each image, as the checkpoint's image processor makes them; ``None`` without images.
            max_new_tokens: Tokens at most.
            eos_token_id: Tokens that end the text; ``None`` takes those of the program.

        Returns:
            [1, n + new tokens] int64.

        Raises:
            SessionError: the prompt does not fit, or has other placeholders than the images have embeddings.
        """
        features = {} if pixel_values is None else {"pixel_values": pixel_values}
        said = self.model.generate(input_ids, features=features, max_new_tokens=max_new_tokens, eos_token_id=eos_token_id)
        return torch.cat([input_ids, torch.tensor([said.ids], dtype=torch.long)], dim=1)


def _taken(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an export; those that cannot be honoured are refused."""
    taken = {}
    for name, value in options.items():
        if name in REFUSED:
            only, instead = REFUSED[name]
            if value != only:
                raise ConformanceError(f"{name}={value!r} is not taken: {instead}.")
        elif name == "disable_dynamic_shapes":
            taken["dynamic_shapes"] = not value
        elif name == "attn_implementation":
            if value != "custom_sdpa":
                raise ConformanceError(f"attn_implementation={value!r}: only 'custom_sdpa' is taken, or nothing.")
            taken["use_custom_sdpa"] = True
        else:
            taken[name] = DTYPES.get(value, value) if name == "dtype" else value
    return taken


def _exported(
    model_id: str | os.PathLike[str],
    task: str,
    tasks: tuple[str, ...],
    recipe: str | None,
    revision: str | None,
    options: Mapping[str, Any],
    threads: int,
) -> LoadedModel:
    """Export into the artifact cache, and load from there."""
    from conformance import shipping
    from conformance.artifacts import cached_export
    from zoo import registry

    name = os.fspath(model_id)
    row = registry.models().get(name)
    task = row.task if row is not None else task
    if task not in tasks:
        raise ConformanceError(f"{name} does {task}, and this class runs {' and '.join(tasks)}.")
    config = ExportConfig.from_mapping({**options, **({"recipe": recipe} if recipe else {})})
    checkpoint = shipping.checkpoint(name, scale="twin", revision=revision)
    artifact, _ = cached_export(checkpoint, config, task=task)
    return load(artifact, tokenizer=checkpoint, threads=threads)


def _begins_at_zero(pos_base: int) -> None:
    if pos_base:
        raise ConformanceError(f"pos_base={pos_base}: a sequence begins at 0; leave it out.")


def _turn(conversation: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any], list[Any]]:
    """The text of a turn, with markers where files stand, and the images and sounds."""
    if len(conversation) != 1 or conversation[0].get("role") != "user":
        raise ConformanceError(f"input_conversation has {len(conversation)} messages; give one of the user.")
    content = conversation[0]["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts, items = [], {"image": list[Any](), "audio": list[Any]()}
    for part in parts:
        kind = part["type"]
        if kind == "text":
            texts.append(part["text"])
            continue
        given = next((part[name] for name in ("path", kind, "url") if name in part), None)
        if kind not in items or given is None or (isinstance(given, str) and "://" in given):
            raise ConformanceError(
                f"a part of the conversation is {dict(part)}; give text, or an image or audio with a local path."
            )
        items[kind].append(given)
        texts.append(f"<{kind}>")
    return " ".join(texts), items["image"], items["audio"]


__all__ = [
    "ExecuTorchModel",
    "ExecuTorchModelForCausalLM",
    "ExecuTorchModelForImageClassification",
    "ExecuTorchModelForImageTextToTextCausalLM",
    "ExecuTorchModelForMaskedLM",
    "ExecuTorchModelForMultiModalToText",
    "ExecuTorchModelForSeq2SeqLM",
    "ExecuTorchModelForSpeechSeq2Seq",
]
