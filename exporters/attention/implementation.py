"""Setting a model's attention implementation, so that it is set."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from exporters.errors import NotApplicableError


def set_attention(model: PreTrainedModel, name: str) -> None:
    """Make every layer of ``model`` attend with the implementation ``name``.

    transformers 5.23.0 reads a module's source text to learn whether its attention can be set, and where it cannot read it (its
    file is gone, its module is no longer in ``sys.modules``) warns and leaves what was set before. Such a layer would read
    keys in another order than the cache has them. What asks ``ALL_ATTENTION_FUNCTIONS`` is therefore set here.

    Args:
        model: Of transformers, or a part of one.
        name: ``eager``, or what is registered with transformers.

    Raises:
        NotApplicableError: a part of the model attends in its own way; whatever was set before is set again.
    """
    before = {id(config): (config, config._attn_implementation) for config, _ in _configured(model)}
    model.set_attn_implementation(name)
    for config, module in _configured(model):
        if config._attn_implementation == name:
            continue
        if not _asks_for_attention(module):
            for each, earlier in before.values():
                each._attn_implementation_internal = earlier
            raise NotApplicableError(
                f"{type(module).__name__} writes its attention out instead of asking for an implementation, so {name!r} cannot "
                "take its place."
            )
        config._attn_implementation_internal = name


def _configured(model: nn.Module) -> list[tuple[Any, nn.Module]]:
    """Every configuration that a module of ``model`` reads its attention implementation from, with the outermost of them."""
    found: dict[int, tuple[Any, nn.Module]] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PretrainedConfig):
            found.setdefault(id(config), (config, module))
    return list(found.values())


def _asks_for_attention(module: Any) -> bool:
    """Whether a module's class calls the implementation that its configuration names."""
    names = getattr(type(module).__init__, "__globals__", {})
    return getattr(module, "_supports_attention_backend", False) or "ALL_ATTENTION_FUNCTIONS" in names
