"""``zoo new``: writes the two files of a new family, ready to run."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conformance.errors import ConformanceError
from conformance.matrix import DECODER, ENCODER, VISION
from zoo import registry
from zoo.errors import unknown
from zoo.model import TASKS


@dataclass(frozen=True)
class Form:
    """What the rows of a task have in common."""

    wrapper: str
    mapping: str
    """transformers' table of the model types that have a model of the task, in ``models.auto.modeling_auto``."""
    kind: str
    """What such a model is called."""
    prompts: tuple[str, ...]
    twin: str = ""
    """Options of the twin that every architecture of the task needs."""
    traits: tuple[str, ...] = ()
    published: str = "full=dict(hidden_size=..., ...)"
    """What of the published checkpoint is looked up."""
    option: str = "sliding_window=16"
    """An option of a twin, to show how one is named."""
    example: str = "gemma3"
    """The family whose tests show what is particular to a model."""


TEXTS = ("Are seals friendly?", "What makes a good map?", "How is bread made?")
QUESTIONS = ("Are seals friendly?", "What is a lighthouse for?", "How is bread made?", "Where do swallows go in winter?")
IMAGES = ("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle")
DECODERS, ENCODERS = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_MASKED_LM_MAPPING_NAMES"

FORMS: Mapping[str, tuple[Form, ...]] = MappingProxyType(
    {
        "text-generation": (
            Form(DECODER, DECODERS, "causal language model", ("Are seals friendly?", "Count from one to ten.")),
        ),
        "fill-mask": (Form(ENCODER, ENCODERS, "masked language model", TEXTS, option="hidden_size=96", example="bert"),),
        # A type that fills masks reads in both directions, whatever else it can be configured to.
        "feature-extraction": (
            Form(
                ENCODER, ENCODERS, "encoder of text", QUESTIONS, traits=("untied",), option="hidden_size=96", example="minilm"
            ),
            Form(DECODER, DECODERS, "decoder of text", QUESTIONS, traits=("untied",), example="qwen3_embedding"),
        ),
        "image-classification": (
            Form(
                VISION,
                "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
                "image classifier",
                IMAGES,
                twin=", image_size=64",
                published="full=dict(num_labels=..., ...), processor=dict(size=..., ...)",
                option="depths=(1, 1)",
                example="vit",
            ),
        ),
    }
)
"""By task what a row can look like; the first form that the model type has is taken. The tasks that are not here need more than
these fields, and their rows are written by hand."""

MODEL = '''"""{title}: say in a line what is particular to the architecture."""

from zoo.model import Model, Twin
from zoo.registry import register

{constant} = register(
    Model(
        name="{name}",
        family="{family}",
        task="{task}",
        wrapper="{wrapper}",
        methods=("forward",),{traits}
        hub_id={hub_id},
        revision=None,  # unpinned: no published revision was at hand
        prompts=(
            {prompts},
        ),
        # Options of the configuration class, such as {option}. What is not named is a toy dimension
        # (zoo/twins/checkpoint.py) or the class's default.
        twin=Twin("{model_type}"{twin}),
        # Looked up, with their source in a comment: {published}.
    )
)
'''

TEST = """from conformance import ModelConformance
from zoo.models.{family} import {constant}


class Test{title}(ModelConformance):
    model = {constant}
    # What is particular to this model is tested here; see tests/models/test_{example}.py.
"""


def new_family(
    root: Path,
    family: str,
    *,
    task: str = "text-generation",
    model_type: str | None,
    name: str | None,
    hub_id: str | None,
) -> list[Path]:
    """Write ``zoo/models/<family>.py`` and ``tests/models/test_<family>.py`` under ``root``.

    Raises:
        ConformanceError: ``root`` is no checkout, the name cannot be a module's, or a file is there already; rows of the task
            are written by hand, or models of the type cannot be run.
        ZooError: there is no such task, or transformers has no such model type; the nearest ones are named.
    """
    if not (root / "zoo" / "models").is_dir() or not (root / "tests" / "models").is_dir():
        raise ConformanceError(f"{root} is no checkout of executorch-zoo; change into one, or give --root.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", family) or keyword.iskeyword(family):
        raise ConformanceError(f"{family!r} cannot name a family: use lower-case letters, digits and _, such as 'olmo2'.")
    kind = model_type or family
    form = _form(task, kind)
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
        "task": task,
        "wrapper": form.wrapper,
        "traits": f"\n        traits=({', '.join(map(_quoted, form.traits))},)," if form.traits else "",
        "prompts": ",\n            ".join(map(_quoted, form.prompts)),
        "twin": form.twin,
        "option": form.option,
        "published": form.published,
        "example": form.example,
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


def _quoted(text: str) -> str:
    return f'"{text}"'


def _form(task: str, model_type: str) -> Form:
    """The form of a row of a task for a model type; raises as ``new_family`` does."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto

    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if task not in FORMS:
        families = sorted({row.family for row in registry.by_task(task)})
        shown = f" Take zoo/models/{families[0]}.py as a pattern." if families else ""
        raise ConformanceError(
            f"a row of the task {task!r} has to be written by hand: zoo new knows {', '.join(FORMS)}.{shown}"
        )
    known: dict[str, Form] = {}
    for form in FORMS[task]:
        for name in getattr(modeling_auto, form.mapping):
            if name in CONFIG_MAPPING:
                known.setdefault(name, form)
    if model_type in CONFIG_MAPPING and model_type not in known:
        kinds = " and no ".join(form.kind for form in FORMS[task])
        raise ConformanceError(f"{model_type!r} is no {kinds}, and {task!r} needs one. --task names another task.")
    if model_type not in known:
        raise unknown("model type", model_type, known, hint="Give the configuration's model_type with --model-type.")
    _check_form(known[model_type], model_type, CONFIG_MAPPING[model_type])
    return known[model_type]


def _check_form(form: Form, model_type: str, configuration: Any) -> None:
    """Refuse model types that transformers has a model of, and that the form's wrapper cannot run.

    Raises:
        ConformanceError: it is such a type.
    """
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    if form.wrapper == ENCODER and configuration().is_encoder_decoder:
        raise ConformanceError(f"{model_type!r} is an encoder and a decoder, and {ENCODER} is for encoders alone.")
    if form.wrapper == VISION and "pil" not in (IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type) or {}):
        raise ConformanceError(
            f"{model_type!r} cannot be added: transformers has no image processor of it for PIL images, without torchvision."
        )
