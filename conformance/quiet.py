"""Silences what the stack prints about itself, so that a user reads results and errors only."""

from __future__ import annotations

import logging
import os
import warnings


def quiet() -> None:
    """Turn off the warnings of torch, torchao and transformers and their progress bars, for this process.

    torchao warns of CUDA libraries it cannot load, torch of its own deprecated calls; neither says anything about the
    model. Errors stay.
    """
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
