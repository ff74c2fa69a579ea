"""``zoo export`` of a hub id: against a stand-in for the hub on this machine, which refuses, breaks off, or delivers."""

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

COMMIT = "0" * 39 + "1"


class Hub(http.server.BaseHTTPRequestHandler):
    """``someone/tiny`` has ``files`` at the branches main and v2; ``someone/gated`` asks for terms; others do not exist."""

    files: ClassVar = {}
    broken: str | None = None
    """A file whose connection is cut in the middle."""

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, *, body):
        parts = self.path.split("?")[0].strip("/").split("/")
        name, data = parts[-1], None
        if "gated" in parts:
            return self.refuse(403, "GatedRepo")
        if "tiny" not in parts:
            return self.refuse(404, "RepoNotFound")
        if not {"main", "v2", COMMIT} & set(parts) and parts[:2] == ["api", "models"] and len(parts) > 4:
            return self.refuse(404, "RevisionNotFound")
        if parts[:2] == ["api", "models"]:
            data = json.dumps(self.listing("tree" in parts)).encode()
        elif "resolve" in parts and name in self.files:
            data = self.files[name]
        else:
            return self.refuse(404, "EntryNotFound")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if name == self.broken else data)
        return None

    def listing(self, tree):
        if tree:
            return [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.files.items()]
        return {"id": "someone/tiny", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}

    def refuse(self, code, kind):
        self.send_response(code)
        self.send_header("X-Error-Code", kind)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(files, broken=None):
    """The address of a hub."""
    handler = type("Served", (Hub,), {"files": files, "broken": broken})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def zoo(endpoint, directory, *arguments, **environment):
    """Run the command in a process of its own: the hub's client reads its address when it is imported."""
    variables = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    variables |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(directory / "hub"), "HF_HUB_DISABLE_XET": "1", **environment}
    variables |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-c", "from conformance.cli import main; main()", *arguments],
        cwd=directory,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


SMALL = {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"weights" * 100}
EXPORT = ("export", "--output_dir", "out", "--model")


@pytest.fixture
def refused(tmp_path):
    """Runs an export that is refused in one line, with nothing written, and gives the line."""

    def run(endpoint, *arguments, **environment):
        done = zoo(endpoint, tmp_path, *EXPORT, *arguments, **environment)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return done.stderr

    return run


def test_what_the_hub_refuses_is_said_with_what_to_do(refused):
    with serve(SMALL) as endpoint:
        assert "someone/gated is gated: accept its terms on the hub" in refused(endpoint, "someone/gated")
        assert "the hub has no model 'someone/absent'" in refused(endpoint, "someone/absent")
        told = refused(endpoint, "someone/tiny", "--revision", "v3")
        assert "the hub has no model 'someone/tiny' at revision 'v3'" in told


def test_pickled_weights_are_neither_downloaded_nor_loaded(refused, tmp_path):
    with serve({"config.json": SMALL["config.json"], "pytorch_model.bin": b"pickle"}) as endpoint:
        assert "has no *.safetensors weights" in refused(endpoint, "someone/tiny")
    assert not list(tmp_path.rglob("*.bin"))


def test_without_a_network_a_checkpoint_directory_is_suggested(refused):
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        told = refused("http://127.0.0.1:9", "someone/tiny", **environment)
        assert "cannot download 'someone/tiny'" in told
        assert "Offline, use a local checkpoint directory or a twin" in told


def test_a_download_that_breaks_off_leaves_no_checkpoint_behind(refused, tmp_path):
    with serve(SMALL, broken="model.safetensors") as endpoint:
        assert "cannot download 'someone/tiny'" in refused(endpoint, "someone/tiny")
    assert not list(tmp_path.rglob("snapshots/*/model.safetensors"))


def test_a_checkpoint_of_the_hub_is_exported_at_its_revision(tmp_path):
    from zoo.checkpoints import resolve
    from zoo.models.smollm2 import SMOLLM2_135M

    files = {path.name: path.read_bytes() for path in resolve(SMOLLM2_135M).iterdir() if path.is_file()}
    with serve({**files, "modeling_evil.py": b"raise SystemExit"}) as endpoint:
        arguments = ("someone/tiny", "--revision", "v2", "--recipe", "portable", "--max_seq_len", "16")
        done = zoo(endpoint, tmp_path, *EXPORT, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("pass: ")
    account = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert (account["methods"], account["max_seq_len"]) == (["forward"], 16)
    assert not list(tmp_path.rglob("*.py"))
