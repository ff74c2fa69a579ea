"""The letters that models trained with CTC spell with."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""Blank, marks, the end of a word, and letters by how frequent they are, as in facebook/wav2vec2-base-960h."""


def coder() -> Any:
    """A ``Wav2Vec2CTCTokenizer`` of ``LETTERS``."""
    from transformers import Wav2Vec2CTCTokenizer

    with tempfile.TemporaryDirectory() as place:
        vocabulary = Path(place) / "vocab.json"
        vocabulary.write_text(json.dumps({letter: index for index, letter in enumerate(LETTERS)}), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(str(vocabulary))
