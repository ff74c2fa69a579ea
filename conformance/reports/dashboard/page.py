"""One page of HTML with runs in it: everything is inlined, and its policy forbids it to fetch anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2

from conformance.errors import ConformanceError
from conformance.reports.dashboard import data
from conformance.reports.dashboard.history import Run

SCRIPTS = ("dom.js", "store.js", "charts.js", "matrix.js", "cell.js", "model.js", "overview.js", "compare.js", "app.js")
"""The page's code, in the order in which the files depend on each other."""
LIBRARY = "vendor/chart.umd.min.js"


def render(runs: Sequence[Run]) -> str:
    """The page: the first run in full, the others as history and to compare. The same runs give the same page.

    Raises:
        ConformanceError: there is no run, or no record in the first one.
    """
    if not runs or not runs[0].records:
        raise ConformanceError("there are no records to show. 'zoo run --records FILE' makes them.")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    first = _source("theme.js")
    library = "\n".join(line for line in _source(LIBRARY).splitlines() if not line.startswith("//# sourceMappingURL"))
    code = '"use strict";\n(() => {\n' + "\n".join(map(_source, SCRIPTS)) + "\n})();\n"
    style = _source("style.css")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, (first, library, code)))}",
            f"style-src {_digest(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return environment.get_template("template.html.j2").render(
        policy=policy,
        first=first,
        style=style,
        library=library,
        code=code,
        cells=len(runs[0].records),
        summary=data.as_json(data.summary(runs)),
        details=[data.packed(entry) for entry in data.details(runs).values()],
        comparisons={pair: data.packed(data.as_json(changes)) for pair, changes in data.comparisons(runs).items()},
    )


def write_page(path: Path, runs: Sequence[Run]) -> int:
    """Write the page; returns its size in bytes."""
    text = render(runs).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return len(text)


def _source(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls this script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
