"""What a user of the suite may see: one clear line."""

from __future__ import annotations


class ConformanceError(ValueError):
    """Something the caller can put right; the message names it and what to do next."""
