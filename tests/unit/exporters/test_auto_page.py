"""docs/exporters.md says what is so: its examples run, in their order, on twins."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "exporters.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
TOLD = """
import json
print(json.dumps([list(components), list(exported)]))
"""


def test_the_pages_examples_run(tmp_path):
    """In a process of their own, as a reader runs them: what other exports left behind is not theirs."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*BLOCKS, TOLD])],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    components, exported = json.loads(done.stdout.splitlines()[-1])
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data", "model.pte"}
    assert components == ["image_encoder", "multi_modal_projector", "language_model", "lm_head", "decode"]
    assert exported == ["multi_modal_projector", "lm_head"]
