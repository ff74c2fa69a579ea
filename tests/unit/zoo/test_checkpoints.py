import dataclasses
import http.server
import json
import os
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

from zoo import Twin, ZooError
from zoo.checkpoints import resolve
from zoo.models.smollm2 import SMOLLM2_135M


def test_a_scale_that_does_not_exist_is_refused():
    with pytest.raises(ZooError, match=r"unknown scale 'twn'.*'twin'"):
        resolve(SMOLLM2_135M, "twn")
    with pytest.raises(ZooError, match="is no directory"):
        resolve(SMOLLM2_135M, "no/such/place")


def test_a_local_checkpoint_is_taken_as_it_is(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert resolve(SMOLLM2_135M, str(tmp_path)) == tmp_path


def test_pickled_weights_are_never_loaded(tmp_path):
    with pytest.raises(ZooError, match=r"no config\.json"):
        resolve(SMOLLM2_135M, str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ZooError, match=r"pytorch_model\.bin is pickled"):
        resolve(SMOLLM2_135M, str(tmp_path))


def test_published_dimensions_come_with_seeded_random_weights(monkeypatch, tmp_path):
    from transformers import AutoConfig

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    small = {**SMOLLM2_135M.full, "num_hidden_layers": 1, "vocab_size": 512}
    model = dataclasses.replace(SMOLLM2_135M, full=small)
    configuration = AutoConfig.from_pretrained(resolve(model, "full"))
    assert (configuration.hidden_size, configuration.num_key_value_heads) == (576, 3)
    with pytest.raises(ZooError, match="no published dimensions"):
        resolve(dataclasses.replace(SMOLLM2_135M, full={}, twin=Twin("llama")), "full")


class Hub(http.server.BaseHTTPRequestHandler):
    """A stand-in for the model hub: one small repository, and none other."""

    COMMIT = "0" * 39 + "1"
    FILES: ClassVar = {
        "config.json": b'{"model_type": "llama"}',
        "model.safetensors": b"weights",
        "evil.py": b"raise SystemExit",
    }

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, *, body):
        commit = self.COMMIT
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "models", "someone", "escaping"]:
            named = [{"rfilename": name} for name in (*self.FILES, "../../../../evil.json")]
            data = json.dumps({"id": "someone/escaping", "sha": commit, "siblings": named}).encode()
            if "tree" in parts:
                named = [{"type": "file", "path": each["rfilename"], "size": 2, "oid": "0"} for each in named]
                data = json.dumps(named).encode()
        elif parts[:2] == ["someone", "escaping"]:
            data = b"{}"
        elif parts[:4] == ["api", "models", "someone", "tiny"]:
            listing = [{"rfilename": name} for name in self.FILES]
            data = json.dumps({"id": "someone/tiny", "sha": commit, "siblings": listing}).encode()
            if "tree" in parts:
                data = json.dumps(
                    [{"type": "file", "path": name, "size": len(text), "oid": "0"} for name, text in self.FILES.items()]
                ).encode()
        elif parts[:3] == ["someone", "tiny", "resolve"] and parts[-1] in self.FILES:
            data = self.FILES[parts[-1]]
        elif "gated" in parts or parts[:2] == ["someone", "gated"]:
            return self.refuse(403, "GatedRepo")
        else:
            return self.refuse(404, "RepoNotFound")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{abs(hash(data))}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if body:
            self.wfile.write(data)
        return None

    def refuse(self, code, kind):
        self.send_response(code)
        self.send_header("X-Error-Code", kind)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def download(endpoint, name, cache):
    """Run a download in a process of its own: the hub client reads its endpoint when it is imported."""
    code = (
        "import sys; from zoo.checkpoints import download; from zoo.errors import ZooError\n"
        "try: place = download(sys.argv[1]); print(place.name, *sorted(p.name for p in place.iterdir()))\n"
        "except ZooError as error: print('refused:', error)"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, "-c", code, name], env=environment, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_a_download_brings_weights_and_no_code_in_a_directory_named_by_its_commit(hub, tmp_path):
    assert download(hub, "someone/tiny", tmp_path).split() == [Hub.COMMIT, "config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("name", "says"), [("someone/absent", "the hub has no model 'someone/absent'"), ("someone/gated", "is gated")]
)
def test_what_the_hub_refuses_is_said_clearly(hub, tmp_path, name, says):
    assert says in download(hub, name, tmp_path)


def test_a_file_whose_name_leads_out_of_the_cache_is_not_written(hub, tmp_path):
    said = download(hub, "someone/escaping", tmp_path / "a" / "b" / "cache")
    assert said.startswith("refused: 'someone/escaping' has a file that is not downloaded")
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("evil.json"))


def test_a_hub_out_of_reach_is_said_clearly(tmp_path):
    said = download("http://127.0.0.1:9", "someone/tiny", tmp_path)
    assert said.startswith("refused: cannot download 'someone/tiny'")
    assert "a local checkpoint directory" in said
