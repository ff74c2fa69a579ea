"""Programs that write: what they say, at once or piece by piece."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from conformance.errors import ConformanceError
from conformance.inference.base import LoadedModel, Output, Statistics, encoded, has_tokenizer
from conformance.sessions.protocol import SessionError
from exporters.errors import unknown_option

if TYPE_CHECKING:
    from torch import Tensor

DECODING = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "temperature": 1.0, "top_k": None, "top_p": 1.0}
"""Options of transformers' ``generate`` that greedy decoding has one value of."""


class Streamer(Protocol):
    """What transformers' streamers are."""

    def put(self, value: Tensor) -> None:
        """Takes the prompt [1, n], and then each token [1]."""

    def end(self) -> None: ...


@dataclass(frozen=True)
class Generated:
    """What a program said."""

    text: str
    """The new text; empty where there is no tokenizer."""
    ids: tuple[int, ...]
    """The new tokens, the one that ends a text included."""
    prompt_ids: tuple[int, ...]
    """What it was given to go on from."""
    stop: str
    """``eos``, ``length`` (as many as asked for) or ``full`` (the cache)."""
    statistics: Statistics

    @property
    def sequences(self) -> Tensor:
        """[1, n] int64: prompt and answer, as transformers' ``generate`` returns them."""
        import torch

        return torch.tensor([[*self.prompt_ids, *self.ids]])


class Writer(LoadedModel):
    """A program that writes token by token."""

    @property
    def max_seq_len(self) -> int:
        """Positions of a sequence, prompt and answer together."""
        return int(self.session.max_seq_len)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        session = self.session
        for name in ("get_eos_ids", "get_eos_id"):
            if name in session.methods:
                found: tuple[int, ...] = session.integers(name)
                return found
        return ()

    def _write(
        self,
        ids: Sequence[int],
        began: float,
        *,
        max_new_tokens: int | None,
        eos_token_id: int | Sequence[int] | None,
        streamer: Streamer | None,
        on_text: Callable[[str], None] | None,
        prompt_tokens: int,
        options: Mapping[str, Any],
    ) -> Generated:
        """Write, and hand out what is written as it comes."""
        pieces = self._pieces(
            ids, began, max_new_tokens=max_new_tokens, eos_token_id=eos_token_id, prompt_tokens=prompt_tokens, options=options
        )
        if streamer is not None:
            streamer.put(_row(ids))
        while True:
            try:
                token, piece = next(pieces)
            except StopIteration as ended:
                said: Generated = ended.value
                break
            if streamer is not None and token is not None:
                streamer.put(_row([token])[0])
            if on_text is not None and piece:
                on_text(piece)
        if streamer is not None:
            streamer.end()
        return said

    def _pieces(
        self,
        ids: Sequence[int],
        began: float,
        *,
        max_new_tokens: int | None,
        eos_token_id: int | Sequence[int] | None,
        prompt_tokens: int,
        options: Mapping[str, Any],
    ) -> Any:
        """A generator of tokens and the text that each completes, whole characters only; returns a ``Generated``."""
        from conformance.generate import steps
        from conformance.sessions.program import DAMAGED

        limit = _limit(max_new_tokens, options, self.max_seq_len)
        session, decode = self.session, self._decoder()
        eos = self.eos_ids if eos_token_id is None else (eos_token_id,) if isinstance(eos_token_id, int) else eos_token_id
        going = steps(session, ids, max_new_tokens=limit, eos_ids=frozenset(eos))
        chosen: list[int] = []
        shown, times = "", list[float]()
        while True:
            try:
                token, margin = next(going)
            except StopIteration as ended:
                stop = ended.value
                break
            if math.isnan(margin):
                raise SessionError(
                    f"{self.program}: the best logits of token {len(chosen) + 1} are no finite numbers. {DAMAGED}"
                )
            times.append(time.perf_counter())
            chosen.append(token)
            text = decode(chosen)
            whole = not text.endswith("\ufffd")  # else the rest of a character is to come
            yield token, text[len(shown) :] if whole else ""
            shown = text if whole else shown
        text = decode(chosen)
        if len(text) > len(shown):
            yield None, text[len(shown) :]
        decoding = times[-1] - times[0]
        self.statistics = Statistics(
            session.load_seconds,
            seconds=times[-1] - began,
            prompt_tokens=prompt_tokens,
            tokens=len(chosen),
            first_token_seconds=times[0] - began,
            tokens_per_second=(len(times) - 1) / decoding if len(times) > 1 and decoding > 0 else 0.0,
        )
        return Generated(text, tuple(chosen), tuple(ids), stop, self.statistics)

    def _decoder(self) -> Callable[[Sequence[int]], str]:
        """From tokens to text; nothing without a tokenizer."""
        if not has_tokenizer(self.companions):
            return lambda tokens: ""
        coder = self.tokenizer
        return lambda tokens: str(coder.decode(tokens, skip_special_tokens=True))


class Reader(Writer):
    """What is asked in texts or token ids, and writes."""

    def ids(self, inputs: str | Any) -> list[int]:
        """The tokens of a text, or of [n] or [1, n] ids.

        Raises:
            ConformanceError: there is no tokenizer, or the ids are of several sequences.
        """
        return list(self.tokenizer(encoded(inputs))["input_ids"]) if isinstance(inputs, str) else listed(inputs)


class TextGeneration(Reader):
    """A decoder of ``text-generation``."""

    task = "text-generation"

    def _open(self, threads: int) -> Any:
        from conformance.sessions.executorch import ExecuTorchSession

        return ExecuTorchSession(self.program, threads=threads)

    def generate(
        self,
        inputs: str | Any,
        *,
        max_new_tokens: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        streamer: Streamer | None = None,
        on_text: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Generated:
        """Continue a prompt greedily.

        Args:
            inputs: A text, or token ids [n] or [1, n].
            max_new_tokens: Tokens at most; ``None`` goes on until the text ends or the cache is full.
            eos_token_id: Tokens that end the text; ``None`` takes those of the program.
            streamer: One of transformers', such as ``TextStreamer``.
            on_text: Called with each piece of text.
            options: transformers' of decoding, such as ``do_sample=False``; one that asks for other than greedy is refused.

        Raises:
            SessionError: the prompt does not fit, or the model was closed.
            ConformanceError: there is no tokenizer for a text, or an option cannot be honoured.
        """
        began = time.perf_counter()
        ids = self.ids(inputs)
        return self._write(
            ids,
            began,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            streamer=streamer,
            on_text=on_text,
            prompt_tokens=len(ids),
            options=options,
        )

    def stream(
        self,
        inputs: str | Any,
        *,
        max_new_tokens: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """As ``generate``, piece by piece; ``statistics`` has the figures when it has ended."""
        began = time.perf_counter()
        ids = self.ids(inputs)
        for _, piece in self._pieces(
            ids, began, max_new_tokens=max_new_tokens, eos_token_id=eos_token_id, prompt_tokens=len(ids), options=options
        ):
            if piece:
                yield piece

    def __call__(self, input_ids: Any, attention_mask: Any = None, *, position: int = 0) -> Output:
        """Feed tokens.

        Args:
            input_ids: [1, n] or [n] token ids.
            attention_mask: None, or all ones: one sequence is not padded.
            position: Where the first of them stands: 0 begins a sequence, the number of tokens before continues it.

        Returns:
            ``logits`` [1, n, vocabulary] float32.

        Raises:
            SessionError: the tokens do not fit, or leave a gap.
            ConformanceError: the mask leaves tokens out.
        """
        ids = listed(input_ids)
        _check_mask(attention_mask)
        with self._timed(prompt_tokens=len(ids)):
            if position == 0:
                self.session.reset()
            return Output(logits=self.session.forward(_row(ids), position).clone()[None])


class TextToText(Reader):
    """An encoder of texts and its decoder: ``text2text-generation``."""

    task = "text2text-generation"

    def _open(self, threads: int) -> Any:
        from conformance.sessions.seq2seq import ExecuTorchSeq2Seq

        reader = ExecuTorchSeq2Seq(self.program, threads=threads)
        if reader.listens:
            raise SessionError(f"{self.program} takes sounds: 'zoo transcribe' runs it.")
        return reader

    def generate(
        self,
        inputs: str | Any,
        *,
        attention_mask: Any = None,
        max_new_tokens: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        streamer: Streamer | None = None,
        on_text: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Generated:
        """Write greedily about a source; the arguments are those of ``TextGeneration.generate``, and what is given is the
        source. ``attention_mask`` [1, n] is 0 where it is padded."""
        began = time.perf_counter()
        ids = self._read(inputs, attention_mask)
        return self._write(
            self.session.prompt,
            began,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            streamer=streamer,
            on_text=on_text,
            prompt_tokens=len(ids),
            options=options,
        )

    def stream(
        self,
        inputs: str | Any,
        *,
        max_new_tokens: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """As ``generate``, piece by piece."""
        began = time.perf_counter()
        ids = self._read(inputs, None)
        for _, piece in self._pieces(
            self.session.prompt,
            began,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            prompt_tokens=len(ids),
            options=options,
        ):
            if piece:
                yield piece

    def __call__(self, input_ids: Any, decoder_input_ids: Any, attention_mask: Any = None) -> Output:
        """The logits [1, m, vocabulary] of ``decoder_input_ids`` [1, m], about a source [1, n]."""
        with self._timed(prompt_tokens=len(listed(input_ids))):
            self._read(input_ids, attention_mask)
            return Output(logits=self.session.forward(_row(listed(decoder_input_ids)), 0).clone()[None])

    def _read(self, inputs: str | Any, mask: Any) -> list[int]:
        import torch

        ids = self.ids(inputs)
        source = _row(ids)
        self.session.condition(
            {"input_ids": source, "attention_mask": torch.ones_like(source) if mask is None else _row(listed(mask))}
        )
        return ids


def listed(ids: Any) -> list[int]:
    """Token ids [n] or [1, n] as a list.

    Raises:
        ConformanceError: they are of several sequences, or no whole numbers.
    """
    values = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    if values and isinstance(values[0], list):
        if len(values) > 1:
            raise ConformanceError(f"a program answers one sequence a call, and {len(values)} are given; give [1, n] ids.")
        values = values[0]
    if not all(isinstance(value, int) for value in values):
        raise ConformanceError(f"token ids are whole numbers; given are {values[:5]}.")
    return values


def _row(ids: Sequence[int]) -> Tensor:
    """[1, n] int64."""
    import torch

    return torch.tensor([list(ids)], dtype=torch.long)


def _check_mask(mask: Any) -> None:
    if mask is not None and not all(listed(mask)):
        raise ConformanceError(
            "attention_mask leaves tokens out; a program takes one sequence without padding. Give its tokens only."
        )


def _limit(max_new_tokens: int | None, options: Mapping[str, Any], max_seq_len: int) -> int:
    """Tokens to write at most, after a look at what else is asked for."""
    for name, value in options.items():
        if name not in DECODING:
            raise ConformanceError(
                str(unknown_option("option of generate", name, ["max_new_tokens", "eos_token_id", *DECODING]))
            )
        if value != DECODING[name]:
            raise ConformanceError(f"{name}={value!r}: programs are decoded greedily; leave it out.")
    if max_new_tokens is None:
        return max_seq_len
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise ConformanceError(f"max_new_tokens is {max_new_tokens!r}; give a whole number of at least 1.")
    return max_new_tokens
