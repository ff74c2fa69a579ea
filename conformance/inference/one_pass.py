"""Programs of one pass: they fill in masks, embed texts, classify images, find objects."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError
from conformance.inference.base import LoadedModel, Output, encoded
from conformance.sessions.protocol import SessionError
from zoo.checkpoints import check_files

if TYPE_CHECKING:
    from torch import Tensor

MASK = "[MASK]"
"""What stands for the tokenizer's own mask token in a text."""


@dataclass(frozen=True)
class Guess:
    """One answer of several, with its probability among all of them."""

    label: str
    probability: float


@dataclass(frozen=True)
class Found:
    """An object in a picture."""

    label: str
    score: float
    """From 0 to 1."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels of the picture."""


class OnePass(LoadedModel):
    """A program without a state between calls."""

    def _open(self, threads: int) -> Any:
        from conformance.sessions.executorch import ExecuTorchInference

        return ExecuTorchInference(self.program, threads=threads)

    def _text(self, inputs: str | Any, attention_mask: Any) -> dict[str, Tensor]:
        """The ids and the mask [1, n] of a text, or of ids."""
        import torch

        from conformance.inference.text import listed

        ids = self.tokenizer(encoded(inputs))["input_ids"] if isinstance(inputs, str) else listed(inputs)
        mask = [1] * len(ids) if attention_mask is None else listed(attention_mask)
        return {"input_ids": torch.tensor([ids]), "attention_mask": torch.tensor([mask])}


class FillMask(OnePass):
    """A program of ``fill-mask``."""

    task = "fill-mask"

    def _open(self, threads: int) -> Any:
        session = super()._open(threads)
        if session.max_seq_len is None:
            raise SessionError(f"{self.program} takes images: 'zoo classify' runs it.")
        return session

    def __call__(self, input_ids: str | Any, attention_mask: Any = None) -> Output:
        """The logits [1, n, vocabulary] of a text, or of ids [1, n]."""
        inputs = self._text(input_ids, attention_mask)
        with self._timed(prompt_tokens=inputs["input_ids"].shape[1]):
            return Output(logits=self.session.infer(inputs).clone()[None])

    def fill(self, text: str, *, best: int = 5) -> list[list[Guess]]:
        """The likeliest tokens of each mask in a text.

        Args:
            text: With ``[MASK]``, or the tokenizer's own mask token, wherever something is to be filled in.
            best: Guesses for each mask.

        Raises:
            SessionError: the text does not fit.
            ConformanceError: the text has no mask, or there is no tokenizer.
        """
        coder = self.tokenizer
        if coder.mask_token is None:
            raise ConformanceError(f"the tokenizer in {self.companions} has no mask token: its model fills in no masks.")
        inputs = self._text(text.replace(MASK, coder.mask_token), None)
        masks = (inputs["input_ids"][0] == coder.mask_token_id).nonzero()[:, 0].tolist()
        if not masks:
            raise ConformanceError(f"the text has no {MASK}: put it where something is to be filled in.")
        with self._timed(prompt_tokens=inputs["input_ids"].shape[1]):
            logits = self.session.infer(inputs)
        return [_likeliest(logits[position], best, lambda token: str(coder.decode([token]))) for position in masks]


class FeatureExtraction(OnePass):
    """A program of ``feature-extraction``: an encoder of texts, or a decoder without its output layer."""

    task = "feature-extraction"

    def _open(self, threads: int) -> Any:
        from conformance.sessions.executorch import ExecuTorchSession
        from conformance.sessions.program import methods_of

        return (
            ExecuTorchSession(self.program, threads=threads)
            if "use_kv_cache" in methods_of(self.program)
            else super()._open(threads)
        )

    def __call__(self, input_ids: str | Any, attention_mask: Any = None) -> Output:
        """``last_hidden_state`` [1, n, hidden] of a text, or of ids [1, n]."""
        inputs = self._text(input_ids, attention_mask)
        ids = inputs["input_ids"]
        with self._timed(prompt_tokens=ids.shape[1]):
            if not hasattr(self.session, "forward"):
                return Output(last_hidden_state=self.session.infer(inputs).clone()[None])
            if not bool(inputs["attention_mask"].all()):
                raise ConformanceError("attention_mask leaves tokens out; this program takes one sequence without padding.")
            self.session.reset()
            return Output(last_hidden_state=self.session.forward(ids, 0).clone()[None])


class Looking(OnePass):
    """A program that is given one image."""

    def _open(self, threads: int) -> Any:
        session = super()._open(threads)
        if session.max_seq_len is not None:
            raise SessionError(f"{self.program} takes no images: 'zoo generate' or 'zoo fill-mask' may run it.")
        return session

    @functools.cached_property
    def processor(self) -> Any:
        """The image processor beside the program.

        Raises:
            ConformanceError: there is none that can be read.
        """
        from conformance.detecting import image_processor

        place = self.companions
        if not (place / "preprocessor_config.json").is_file():
            raise ConformanceError(
                f"{place} has no preprocessor_config.json; give the checkpoint's directory with --processor."
            )
        check_files(place)
        try:
            return image_processor(place)
        except Exception as error:
            raise ConformanceError(f"cannot read the image processor in {place}: {type(error).__name__}: {error}") from error

    @functools.cached_property
    def labels(self) -> dict[int, str]:
        """The names of the classes by number; nothing without a configuration."""
        path = self.companions / "config.json"
        if not path.is_file():
            return {}
        named = json.loads(path.read_text(encoding="utf-8")).get("id2label")
        return {int(number): str(label) for number, label in named.items()} if isinstance(named, dict) else {}

    def label(self, number: int) -> str:
        """The name of a class."""
        return self.labels.get(number, f"class {number}")


class ImageClassification(Looking):
    """A program of ``image-classification``."""

    task = "image-classification"

    def _open(self, threads: int) -> Any:
        session = super()._open(threads)
        if "get_num_queries" in session.methods:
            raise SessionError(f"{self.program} finds objects in images: 'zoo detect' runs it.")
        return session

    def __call__(self, pixel_values: Tensor) -> Output:
        """The logits [1, classes] of an image [1, channels, height, width] as the image processor makes it."""
        with self._timed():
            return Output(logits=self.session.infer({"pixel_values": pixel_values}).clone())

    def classify(self, image: Any, *, best: int = 5) -> list[Guess]:
        """The likeliest classes of a file, or of a PIL image.

        Raises:
            ConformanceError: the picture cannot be read, or there is no image processor.
        """
        picture = _picture(image)
        with self._timed():
            logits = self.session.infer({"pixel_values": self.processor(picture, return_tensors="pt")["pixel_values"]})
        return _likeliest(logits[0], best, self.label)


class ObjectDetection(Looking):
    """A program of ``object-detection``."""

    task = "object-detection"

    def _open(self, threads: int) -> Any:
        session = super()._open(threads)
        if "get_num_queries" not in session.methods:
            raise SessionError(
                f"{self.program} finds no objects: it has no get_num_queries, as programs of object-detection have."
            )
        return session

    def __call__(self, pixel_values: Tensor) -> Output:
        """``logits`` [1, queries, classes + 1] and ``pred_boxes`` [1, queries, 4] (centre, width, height, as shares of the
        sides) of an image [1, channels, height, width] as the image processor makes it."""
        with self._timed():
            answer = self.session.infer({"pixel_values": pixel_values}).clone()[None]
        return Output(logits=answer[..., :-4], pred_boxes=answer[..., -4:])

    def detect(self, image: Any, *, threshold: float = 0.5) -> list[Found]:
        """The objects in a file or a PIL image, the surest first; it is stretched to the size that the program takes.

        Args:
            image: A file, or a PIL image.
            threshold: Score above which an object counts.

        Raises:
            ConformanceError: the picture cannot be read, or there is no image processor of a detector.
        """
        from conformance.detecting import pixels, read

        picture, prepare = _picture(image), self.processor
        if not hasattr(prepare, "post_process_object_detection"):
            raise ConformanceError(
                f"the image processor in {self.companions} is none of a detector; give one with --processor."
            )
        size = self.session.integer("get_image_height"), self.session.integer("get_image_width")
        with self._timed():
            answer = self.session.infer({"pixel_values": pixels(prepare, picture, size)})
        seen = read(prepare, answer, threshold=threshold, size=(picture.height, picture.width))
        found = [
            Found(
                self.label(int(label)),
                float(score),
                (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            )
            for score, label, box in zip(seen.scores, seen.labels, seen.boxes, strict=True)
        ]
        return sorted(found, key=lambda each: -each.score)


def _picture(image: Any) -> Any:
    """A picture in RGB, of a file or a PIL image."""
    from conformance.showing import read_image

    return read_image(Path(image)) if isinstance(image, (str, os.PathLike)) else image.convert("RGB")


def _likeliest(logits: Any, best: int, label: Callable[[int], str]) -> list[Guess]:
    """The best answers of logits [classes]."""
    values, indices = logits.softmax(-1).topk(min(best, logits.shape[-1]))
    return [Guess(label(int(index)), float(value)) for value, index in zip(values, indices, strict=True)]
