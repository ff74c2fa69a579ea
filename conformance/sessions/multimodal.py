"""Models that look at images or listen, and write: eager PyTorch's and the ExecuTorch runtime's sessions.

Text has a placeholder for each embedding of an image or sound. ``condition`` takes the images or sounds, one row of a tensor
each, and the placeholders of the sequence stand for them in order.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from conformance.sessions.eager import EagerSession
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.protocol import SessionError
from exporters.artifact import ProgramFile
from exporters.config import ExportConfig
from zoo.twins.media import Inputs, arguments, features, placeholder_id


def rows(inputs: Inputs) -> list[Inputs]:
    """The images or sounds one by one."""
    count = len(next(iter(inputs.values()), ()))
    return [{name: value[index : index + 1] for name, value in inputs.items()} for index in range(count)]


class EagerMultimodalSession(EagerSession):
    """transformers' own model, merging and masks."""

    def __init__(self, model: Any, max_seq_len: int, config: ExportConfig) -> None:
        super().__init__(
            model,
            max_seq_len,
            cache_bits=8 if config.quantize_kv_cache else None,
            sink=config.attention_sink,
            windows=config.local_windows,
        )
        self._placeholder = placeholder_id(model.config)
        self._counts: list[int] = []
        self._inputs: Inputs = {}

    def condition(self, inputs: Inputs) -> None:
        self.reset()
        self._inputs = inputs
        if getattr(self.model.base_model, "rope_deltas", None) is not None:
            # Qwen2.5-VL of transformers 5.23.0 keeps what the images of the sequence before did to its positions.
            self.model.base_model.rope_deltas = None
        self._counts = [len(self.encode(row)) for row in rows(inputs)]

    def encode(self, inputs: Inputs) -> Tensor:
        """The embeddings [tokens, hidden] of one image or sound."""
        return features(self.model, inputs).float()

    def arguments(self, tokens: Tensor) -> dict[str, Any]:
        """What the model is given beside the tokens [1, n] of a call: the images or sounds that they have placeholders of."""
        count = int((tokens == self._placeholder).sum())
        if not count:
            return {}
        ends = [0, *itertools.accumulate(self._counts)]
        before = self._fed.count(self._placeholder)
        if before not in ends or before + count not in ends:
            raise SessionError(
                f"the call has {count} placeholders after {before}, and the images or sounds have {self._counts}: give all of "
                "one, or none."
            )
        first, last = ends.index(before), ends.index(before + count)
        given = {name: value[first:last] for name, value in self._inputs.items()}
        return arguments(self.model, tokens == self._placeholder, given)


MODALITIES = {"vision_encoder": "image", "audio_encoder": "audio"}
"""What the placeholders of a text stand for, by the method that makes embeddings of it."""


class MultimodalSession(ExecuTorchSession):
    """A ``.pte`` of ``MultiModalTextToTextExportableModule``; the arguments are ``Program``'s."""

    entry_points = ("token_embedding", "text_decoder")
    modality: str

    def __init__(
        self, path: str | os.PathLike[str], *, expected: ProgramFile | None = None, threads: int = 1, verify: bool = True
    ) -> None:
        super().__init__(path, expected=expected, threads=threads, verify=verify)
        self._encoder = next((name for name in MODALITIES if name in self.methods), "")
        if not self._encoder:
            told = ", ".join(sorted(self.methods))
            raise SessionError(f"{self.path} has no method {' or '.join(map(repr, MODALITIES))}; it has {told}.")
        name = MODALITIES[self._encoder]
        self.load(self._encoder)
        self._placeholder = self.integer(f"get_{name}_token_id")
        self._embeddings = self.integer(f"get_{name}_seq_len")
        taken = self.input_sizes("text_decoder")
        self._further = len(taken[2]) if len(taken) == 3 else 0
        self._one_token = not self.constant("enable_dynamic_shape", True)
        self._grid = tuple(self.integer(f"get_image_grid_{side}", 0) for side in ("height", "width"))
        self._dtype = self.float_dtype()
        self._features = torch.empty(0)
        self._sequence: list[int] = []

    def condition(self, inputs: Inputs) -> list[int]:
        """As ``ConditionedSession``; returns how many placeholders each image or sound has in a text."""
        self.reset()
        encoded = [self.encode(row) for row in rows(inputs)]
        self._features = torch.cat(encoded) if encoded else torch.empty(0)
        return [len(each) for each in encoded]

    @property
    def runner_refusal(self) -> str | None:
        """Why ExecuTorch's ``MultimodalRunner`` of executorch 1.4.1 cannot run the program; ``None`` if it can."""
        encoder, decoder = self.method_meta(self._encoder), self.method_meta("text_decoder")
        if decoder.num_inputs() != 2:
            return f"it gives text_decoder embeddings and positions, and this one takes {decoder.num_inputs()} inputs"
        if encoder.num_inputs() != 1:
            return f"it gives {self._encoder} one input, and this one takes {encoder.num_inputs()}"
        shape = tuple(encoder.input_tensor_meta(0).sizes())
        if self._one_token:
            return "it gives text_decoder a whole part of a prompt, and this one takes one token a call"
        if self._dtype is not torch.float32:
            return f"it gives {self._encoder} no {self._dtype}"
        if self._encoder == "vision_encoder" and len(shape) != 4:
            return f"it gives vision_encoder an image [1, channels, height, width], and this one takes {list(shape)}"
        return None

    def runner_parts(self, prompt: Sequence[int], inputs: Inputs) -> list[Any]:
        """A prompt as ``MultimodalRunner`` takes it: token ids, and instead of placeholders what they stand for."""
        shown = iter(rows(inputs))
        parts: list[Any] = []
        for token, run in itertools.groupby(prompt, key=lambda token: token == self._placeholder):
            parts.append(next(iter(next(shown).values())) if token else list(run))
        return parts

    def encode(self, inputs: Inputs) -> Tensor:
        """The embeddings [tokens, hidden] of one image or sound."""
        grid = inputs.get("image_grid_thw")
        if grid is not None and int(grid[0, 1]) * self._grid[1] != int(grid[0, 2]) * self._grid[0]:
            raise SessionError(f"the image's patches lie in a grid of {grid[0].tolist()}; {self.path.name} takes squares.")
        sizes = self.input_sizes(self._encoder)
        values = list(inputs.values())[: len(sizes)]
        found = [tuple(value.shape) for value in values]
        if found != sizes:
            raise SessionError(
                f"the inputs have the shapes {found}, and {self._encoder} of {self.path.name} takes {sizes}. Prepare them as "
                "the checkpoint's processor does."
            )
        given = [value.to(self._dtype) if value.is_floating_point() else value for value in values]
        features, *count = self.run(self._encoder, *(value.contiguous() for value in given))
        return features[0, : int(count[0])].clone() if count else features[0].clone()

    def step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        start = int(positions[0])
        before = self._sequence[:start].count(self._placeholder)
        self._sequence[start:] = tokens[0].tolist()
        (embeddings,) = self.run("token_embedding", tokens.contiguous())
        places = (tokens[0] == self._placeholder).nonzero()[:, 0]
        if len(places):
            if before + len(places) > len(self._features):
                raise SessionError(
                    f"the text has {before + len(places)} placeholders, and there are {len(self._features)} embeddings."
                )
            embeddings = embeddings.clone()
            embeddings[0, places] = self._features[before : before + len(places)]
        further: tuple[Tensor, ...] = ()
        if self._further == 1:
            further = (self._blocks(tokens[0] == self._placeholder),)
        elif self._further == 2:
            further = (self._places()[:, start:].contiguous(),)
        return self.run("text_decoder", embeddings.contiguous(), positions, *further)[0]

    def _places(self) -> Tensor:
        """[3, n] int64: time, row and column of everything that was fed. An image begins where the text before it ends, and the
        text after it goes on behind its last row or column."""
        height, width = self._grid
        places: list[tuple[int, int, int]] = []
        following = index = 0
        for token in self._sequence:
            if token != self._placeholder:
                places.append((following,) * 3)
                following, index = following + 1, 0
                continue
            index %= height * width
            begin = following if index == 0 else places[-index][0]
            places.append((begin, begin + index // width, begin + index % width))
            index += 1
            following = begin + max(height, width) if index == height * width else following
        return torch.tensor(places).T

    def _blocks(self, placeholders: Tensor) -> Tensor:
        """[n] int64: -1 for text, and a number for the embeddings of each image; ``placeholders`` [n] bool.

        Raises:
            SessionError: an image is parted.
        """
        begins = placeholders & ~torch.nn.functional.pad(placeholders, (1, 0))[:-1]
        blocks = torch.where(placeholders, begins.cumsum(0) - 1, -1)
        for length in torch.bincount(blocks[placeholders]).tolist():
            if length % self._embeddings:
                raise SessionError(
                    f"a call has {length} of the {self._embeddings} placeholders of an image, which attend to each other both "
                    "ways; feed them together."
                )
        return blocks
