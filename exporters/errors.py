"""The error a user of the exporter may see: one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExportError(ValueError):
    """An option, checkpoint or artifact that cannot be used; the message names the value, what is allowed and what to do."""


class NotApplicableError(ExportError):
    """A configuration that means nothing for an architecture: it would drop a term of it. The message is the reason."""


def unknown_option(kind: str, value: object, allowed: Iterable[str]) -> ExportError:
    """An error for a value that is not in ``allowed``, with the nearest valid one first."""
    names = list(allowed)
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return ExportError(f"unknown {kind} {value!r}.{guess} Allowed: {', '.join(names)}.")
