"""Running the command in this process."""

import logging
import warnings
from types import SimpleNamespace

import pytest

from conformance import cli


@pytest.fixture
def invoke(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty directory with an empty cache; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("ZOO_CACHE", str(tmp_path / "cache")), ("TOKENIZERS_PARALLELISM", "false")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")

    def run(*arguments):
        level = logging.root.manager.disable
        try:
            with warnings.catch_warnings(), pytest.raises(SystemExit) as caught:
                cli.main(arguments)
        finally:
            logging.disable(level)
        out, err = capsys.readouterr()
        return SimpleNamespace(code=caught.value.code, out=out, err=err)

    return run
