"""A byte-level BPE tokenizer, small enough for a twin and of the kind the real models use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

VOCAB_SIZE = 384
BOS, EOS, PAD = "<bos>", "<eos>", "<pad>"


def train(texts: Iterable[str], *, add_bos: bool) -> Any:
    """A ``PreTrainedTokenizerFast`` with at most 384 tokens that covers every byte.

    Args:
        texts: What the merges are learned from.
        add_bos: Whether encoding puts ``<bos>`` in front of a text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, EOS, BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
    )
