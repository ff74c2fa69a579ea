"""Where weights come from: a model and a scale become a local checkpoint directory."""

from __future__ import annotations

from pathlib import Path

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
    """``directory``, if it looks like a checkpoint.

    Raises:
        ZooError: something a checkpoint needs is missing, or its weights are pickled, which this project never loads.
    """
    if not (directory / "config.json").is_file():
        raise ZooError(f"{directory} has no config.json, so it is no checkpoint directory. Save one with save_pretrained().")
    if not any(directory.glob("*.safetensors")):
        pickled = sorted(path.name for suffix in ("*.bin", "*.pt", "*.pth") for path in directory.glob(suffix))
        found = f" ({', '.join(pickled)} is pickled and never loaded)" if pickled else ""
        raise ZooError(f"{directory} has no *.safetensors weights{found}. Save it with save_pretrained().")
    return directory


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
    return check_directory(Path(directory))
