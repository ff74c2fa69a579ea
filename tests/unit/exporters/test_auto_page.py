"""docs/exporters.md says what is so: its examples run, in their order, on twins."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "exporters.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("workarounds")
def test_the_pages_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for index, block in enumerate(BLOCKS):
        exec(compile(block, f"{PAGE.name}, example {index + 1}", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data", "model.pte"}
    assert list(names["components"]) == ["image_encoder", "multi_modal_projector", "language_model", "lm_head", "decode"]
    assert list(names["exported"]) == ["multi_modal_projector", "lm_head"]
