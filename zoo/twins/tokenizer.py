"""A byte-level BPE tokenizer, small enough for a twin and of the kind the real models use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

VOCAB_SIZE = 384
BOS, EOS, PAD, MASK = "<bos>", "<eos>", "<pad>", "<mask>"


def train(texts: Iterable[str], *, add_bos: bool, encoder: bool = False, special: tuple[str, ...] = ()) -> Any:
    """A ``PreTrainedTokenizerFast`` with at most 384 tokens that covers every byte.

    Args:
        texts: What the merges are learned from.
        add_bos: Whether encoding puts ``<bos>`` in front of a text.
        encoder: Whether it is an encoder's: a text stands between ``<bos>`` and ``<eos>``, and there is a ``<mask>``.
        special: Further tokens that are never split.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, EOS, BOS, *([MASK] if encoder else []), *special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (BOS, EOS)]
    if encoder:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A {EOS}", special_tokens=ends)
    elif add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=ends[:1])
    roles = {"mask_token": MASK, "cls_token": BOS, "sep_token": EOS} if encoder else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False, **roles
    )
