"""The ``zoo`` command.

Exit codes: 0 all is well; 1 something was found (a cell is not green, a report has drifted, a check failed); 2 the command
was given something it cannot use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.text import Text

from conformance import isolation

# Each module adds its commands, in the order that --help shows them.
from conformance.cli import answering, chatting, checking, expecting, exporting, inspecting, models, reporting, running  # noqa: F401
from conformance.cli.console import app, err
from conformance.errors import ConformanceError
from conformance.quiet import quiet
from conformance.sessions.protocol import SessionError
from exporters.errors import ExportError
from zoo.cache import is_full
from zoo.errors import ZooError

FULL = ". Free some space there; ZOO_CACHE moves the caches, and --run a run's directory."


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors are one clear line and a non-zero exit code.

    Args:
        arguments: What stands behind ``zoo``; ``None`` for those of this process, which is then the command's own and may be
            divided (``conformance.isolation``).
    """
    quiet()
    if arguments is None:
        isolation.allow()
    try:
        app(args=list(arguments) if arguments is not None else None)
    except (ZooError, ExportError, SessionError, ConformanceError, OSError) as error:
        full = isinstance(error, OSError) and is_full(error)
        err.print(Text(f"error: {error}{FULL if full else ''}"), style="red")
        sys.exit(2)


__all__ = ["app", "main"]
