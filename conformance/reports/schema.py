"""The JSON Schema of records, generated from the model that reads and writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conformance.record import Record

SCHEMA = Path("reports/record.schema.json")
"""Where it is committed."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def record_schema() -> dict[str, Any]:
    """The schema of one record: one line of a file of records. Fields that later versions added are not required."""
    return {
        "$schema": DIALECT,
        **Record.model_json_schema(),
        "title": "executorch-zoo record",
        "description": "What was found in one cell (a model under a configuration). A file of records has one a line.",
    }


def render_schema() -> str:
    """The text of the committed schema."""
    return json.dumps(record_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
