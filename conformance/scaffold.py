"""``zoo new``: writes the two files of a new family, ready to run."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from conformance.errors import ConformanceError
from zoo import registry
from zoo.errors import unknown

MODEL = '''"""{title}: say in a line what is particular to the architecture."""

from zoo.model import Model, Twin
from zoo.registry import register

{constant} = register(
    Model(
        name="{name}",
        family="{family}",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id={hub_id},
        revision=None,  # unpinned: no published revision was at hand
        prompts=(
            "Are seals friendly?",
            "Count from one to ten.",
        ),
        # Options of the configuration class, such as sliding_window=16. What is not named is a toy dimension
        # (zoo/twins/checkpoint.py) or the class's default.
        twin=Twin("{model_type}"),
        # The published dimensions, looked up, with their source in a comment: full=dict(hidden_size=..., ...).
    )
)
'''

TEST = """from conformance import ModelConformance
from zoo.models.{family} import {constant}


class Test{title}(ModelConformance):
    model = {constant}
    # What is particular to this model is tested here; see tests/models/test_gemma3.py.
"""


def new_family(root: Path, family: str, *, model_type: str | None, name: str | None, hub_id: str | None) -> list[Path]:
    """Write ``zoo/models/<family>.py`` and ``tests/models/test_<family>.py`` under ``root``.

    Raises:
        ConformanceError: ``root`` is no checkout, the name cannot be a module's, or a file is there already.
        ZooError: transformers has no such model type; the nearest ones are named.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if not (root / "zoo" / "models").is_dir() or not (root / "tests" / "models").is_dir():
        raise ConformanceError(f"{root} is no checkout of executorch-zoo; change into one, or give --root.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", family) or keyword.iskeyword(family):
        raise ConformanceError(f"{family!r} cannot name a family: use lower-case letters, digits and _, such as 'olmo2'.")
    kind = model_type or family
    decoders = [known for known in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if known in CONFIG_MAPPING]
    if kind in CONFIG_MAPPING and kind not in decoders:
        raise ConformanceError(f"{kind!r} is no causal language model, and only those can be added so far.")
    if kind not in decoders:
        raise unknown("model type", kind, decoders, hint="Give the configuration's model_type with --model-type.")
    row = name or family.replace("_", "-")
    if not re.fullmatch(registry.NAME, row):
        raise ConformanceError(f"{row!r} cannot name a model: use lower-case letters, digits and . _ -, such as 'olmo2-1b'.")
    if row in registry.models():
        raise ConformanceError(f"there is a model {row!r} already; give another --name.")
    if hub_id is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id):
        raise ConformanceError(f"{hub_id!r} is no hub id; one reads 'organisation/model'.")
    constant = re.sub(r"\W", "_", row).upper()
    fields = {
        "family": family,
        "name": row,
        "model_type": kind,
        "hub_id": None if hub_id is None else f'"{hub_id}"',
        "constant": constant if constant[0].isalpha() else f"MODEL_{constant}",
        "title": "".join(part.capitalize() for part in family.split("_")),
    }
    files = {
        root / "zoo" / "models" / f"{family}.py": MODEL,
        root / "tests" / "models" / f"test_{family}.py": TEST,
    }
    present = [path for path in files if path.exists()]
    if present:
        raise ConformanceError(f"{', '.join(map(str, present))} exists already; nothing was written.")
    written: list[Path] = []
    try:
        for path, template in files.items():
            written.append(path)
            path.write_text(template.format(**fields), encoding="utf-8")
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise ConformanceError(f"cannot write {written[-1]}: {error}. Nothing was written.") from error
    return written
