"""Help that shows options in groups, and options that answer to underscores and dashes."""

from __future__ import annotations

from typing import Any

import typer.core

SPELLING = {"token_normalize_func": lambda name: name.replace("-", "_")}
"""Context settings of a command whose options are declared with underscores and answer to dashes, too."""


class GroupedCommand(typer.core.TyperCommand):
    """A command whose help shows the options under their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            shown = parameter.get_help_record(ctx)
            if shown is not None:
                group = getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(group, []).append(shown)
        for group, options in groups.items():
            with formatter.section(group):
                formatter.write_dl(options)
