"""Where weights come from: a model and a scale become a local checkpoint directory."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

from zoo.cache import DirectoryStore, source_sha256
from zoo.errors import ZooError, unknown
from zoo.model import Model

SCALES = ("twin", "full", "hub")


def resolve(model: Model, scale: str = "twin") -> Path:
    """A directory with config.json, safetensors weights, tokenizer.json and the generation configuration.

    Args:
        model: The registry row.
        scale: ``twin`` (a tiny trained checkpoint, or the directory that the row names in its place), ``full`` (published
            dimensions, seeded random weights: for latency, size and memory, never for quality), ``hub`` (the published
            weights), or the path of a local checkpoint directory.

    Raises:
        ZooError: the scale is none of these, the twin could not be trained, or the checkpoint cannot be had.
    """
    if scale == "twin":
        return _twin(model)
    if scale == "full":
        return _full(model)
    if scale == "hub":
        if model.hub_id is None:
            raise ZooError(f"model {model.name!r} has no published checkpoint; use --scale twin or a local directory.")
        return download(model.hub_id, model.revision)
    check_scale(scale)
    return check_directory(Path(scale))


def check_scale(scale: str) -> None:
    """Refuse what is neither a scale nor a directory.

    Raises:
        ZooError: it is neither.
    """
    directory = Path(scale)
    if scale in SCALES or directory.is_dir():
        return
    if "/" in scale or directory.suffix:
        raise ZooError(f"{scale!r} is no directory. Give a checkpoint directory, or a scale: {', '.join(SCALES)}.")
    raise unknown("scale", scale, SCALES, hint="A path of a local checkpoint directory works, too.")


def check_directory(directory: Path) -> Path:
    """``directory``, if it looks like a checkpoint, and its files are as harmless as data can be.

    Raises:
        ZooError: something a checkpoint needs is missing, its weights are pickled, which this project never loads, or as
            ``check_files``.
    """
    if not (directory / "config.json").is_file():
        raise ZooError(f"{directory} has no config.json, so it is no checkpoint directory. Save one with save_pretrained().")
    if not any(directory.glob("*.safetensors")):
        pickled = sorted(path.name for suffix in ("*.bin", "*.pt", "*.pth") for path in directory.glob(suffix))
        found = f" ({', '.join(pickled)} is pickled and never loaded)" if pickled else ""
        raise ZooError(f"{directory} has no *.safetensors weights{found}. Save it with save_pretrained().")
    return check_files(directory)


def check_files(directory: Path) -> Path:
    """``directory``, if what is read of it is small enough, lies in it, and can be parsed.

    A checkpoint, or what was exported from one, comes from strangers. Looked at before any library reads it: sizes, where links
    lead, how deep JSON is nested, and which files an index of weights names.

    Raises:
        ZooError: a file is too large, a link leads out of the directory, JSON is none or nested too deep, or an index names a
            file elsewhere.
    """
    home = directory.resolve()
    # A snapshot of the hub consists of links to the blobs beside all snapshots.
    blobs = home.parents[1] / "blobs" if home.parent.name == "snapshots" and len(home.parents) > 1 else home
    for path in sorted(path for path in directory.iterdir() if path.suffix in READ):
        target = path.resolve()
        if not (target.is_relative_to(home) or target.is_relative_to(blobs)):
            raise ZooError(
                f"{path} is a link out of its directory, to {target}, and is not followed. Put the file itself there."
            )
        if not path.is_file():
            raise ZooError(f"{path} is no file; a checkpoint consists of plain files.")
        most = VOCABULARY_BYTES if path.name in VOCABULARIES else SETTINGS_BYTES
        if path.suffix != ".safetensors" and path.stat().st_size > most:
            raise ZooError(
                f"{path} has {path.stat().st_size} bytes, and at most {most} are read of such a file. It is no such file, or "
                "meant to exhaust memory."
            )
        if path.suffix == ".json" and path.name not in VOCABULARIES:
            _check_settings(path, home)
    return directory


READ = frozenset({".json", ".safetensors", ".model", ".spm", ".txt", ".jinja"})
"""Suffixes of the files that are read of a checkpoint."""
VOCABULARIES = frozenset(
    {"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "source.spm", "target.spm"}
)
VOCABULARY_BYTES = 256 << 20
"""Gemma 3's tokenizer.json has 33 MB."""
SETTINGS_BYTES = 16 << 20
"""The index of a model with 100 000 tensors has 10 MB; a configuration has a few kB."""
DEEPEST = 64
"""Levels of nested JSON; configurations of several parts have about five."""


def _check_settings(path: Path, home: Path) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        found = None
        deep = True
    except ValueError as error:
        raise ZooError(f"{path} is no JSON: {error}. Take the file that belongs to the checkpoint.") from error
    else:
        deep = _deeper_than(found, DEEPEST)
    if deep:
        raise ZooError(f"{path} is nested deeper than {DEEPEST} levels, as no configuration is; it is not read.")
    if path.name == "config.json" and not isinstance(found, dict):
        raise ZooError(f"{path} is a {type(found).__name__} and no object; it is no model's configuration.")
    if path.name.endswith(".index.json"):
        _check_index(path, found, home)


def _deeper_than(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper, found level by level: this cannot recurse too deep itself."""
    layer = [value]
    for _ in range(levels):
        members = (each.values() if isinstance(each, dict) else each for each in layer if isinstance(each, (dict, list)))
        layer = list(itertools.chain.from_iterable(members))
        if not layer:
            return False
    return any(isinstance(each, (dict, list)) for each in layer)


def _check_index(path: Path, index: Any, home: Path) -> None:
    """Refuse an index of weights that names anything but safetensors files beside it."""
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict):
        raise ZooError(f"{path} has no weight_map, so it is no index of weights.")
    for name in {str(name) for name in files.values()}:
        if not re.fullmatch(r"[^/\\\0]+\.safetensors", name):
            raise ZooError(
                f"{path} names {name!r} as a file of weights; only *.safetensors files beside it are read, by their bare names."
            )
        if not (home / name).is_file():
            raise ZooError(f"{path} names {name!r}, which is not there. Download the checkpoint anew.")


def _twin(model: Model) -> Path:
    from zoo import twins

    if model.checkpoint is not None:
        return check_directory(Path(model.checkpoint))
    if not model.has_twin:
        published = f" use --scale hub ({model.hub_id})." if model.hub_id else " give it a checkpoint=..., a twin or a hub_id."
        raise ZooError(f"model {model.name!r} has neither a twin nor a checkpoint of its own;{published}")
    store = DirectoryStore("twins")
    key = store.key({"twin": twins.spec(model), "source": source_sha256([Path(twins.__file__).parent])})
    return store.get_or_make(key, lambda directory: twins.build(model, directory))[0]


def _full(model: Model) -> Path:
    from zoo import twins

    if not model.full:
        raise ZooError(f"model {model.name!r} states no published dimensions (full=...); use --scale twin.")
    store = DirectoryStore("full")
    key = store.key(
        {"full": dict(model.full), "twin": twins.spec(model), "source": source_sha256([Path(twins.__file__).parent])}
    )
    return store.get_or_make(key, lambda directory: twins.build_full(model, directory))[0]


def download(hub_id: str, revision: str | None = None) -> Path:
    """A snapshot of a published checkpoint: configuration, tokenizer and safetensors weights, nothing executable.

    Raises:
        ZooError: the hub cannot be reached, the repository does not exist or is gated, or it has no safetensors weights.
    """
    import huggingface_hub
    from huggingface_hub import errors

    try:
        directory = huggingface_hub.snapshot_download(
            hub_id, revision=revision, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
        )
    except errors.GatedRepoError as error:
        raise ZooError(f"{hub_id} is gated: accept its terms on the hub and log in with 'hf auth login'.") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ZooError(f"the hub has no model {hub_id!r}{at}. Check the id, or use --scale twin.") from error
    except (*errors.HfHubHTTPError.__bases__, errors.LocalEntryNotFoundError, OSError) as error:  # the HTTP client's own, too
        reason = " ".join(str(error).split()).rstrip(".")
        raise ZooError(f"cannot download {hub_id!r}: {reason}. Offline, use a local checkpoint directory or a twin.") from error
    except ValueError as error:  # the hub's client refuses a file whose name leads out of its cache
        reason = " ".join(str(error).split()).rstrip(".")
        raise ZooError(f"{hub_id!r} has a file that is not downloaded: {reason}. Do not trust this checkpoint.") from error
    return check_directory(Path(directory))
