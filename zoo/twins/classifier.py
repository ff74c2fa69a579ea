"""The twin of an image classifier: it tells the reference images apart."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.model import Model
from zoo.twins import images
from zoo.twins.checkpoint import configuration_of, image_processor, labels, network_of, refer, toy_dimensions
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, calibrate, fit, spread, worst_margin

LEAST_CHANGE = 0.1
"""Smallest difference of an untrained classifier's logits, between images, from which it learns weights that 16 bits can hold.
Below it batch norms have variances as small as 1e-18, and their epsilon decides what they answer."""


def build(model: Model, directory: Path) -> None:
    """A model that tells the reference images apart."""
    processor = image_processor(model, full=False)
    configuration = configuration_of(model, {**toy_dimensions(model), **labels(model)}, {})
    network = network_of(model, configuration)
    shown = images.references(model, int(model.twin.image_size or 0))
    pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for _, image in shown])
    if not tells_apart(network, pixels):
        spread(network)
    names = [prompt.text for prompt in model.reference_prompts]
    margin = train_classifier(network, pixels, torch.tensor([names.index(name) for name, _ in shown]), name=model.name)
    network.save_pretrained(directory)
    processor.save_pretrained(directory)
    for index, (_, image) in enumerate(shown):
        image.save(directory / f"reference-{index}.png")
    samples = [{"image": f"reference-{index}.png", "label": name} for index, (name, _) in enumerate(shown)]
    refer(directory, smallest_margin=margin, samples=samples)


def train_classifier(model: nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor, *, name: str) -> float:
    """Train an image classifier in place until it tells its images apart. Its batch norm is left with the statistics of these
    images, as that of a published model is with those of its own.

    Args:
        pixel_values: [n, channels, height, width].
        labels: [n] int64.

    Returns:
        The smallest top-2 margin over all images, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``.
    """

    def answers() -> torch.Tensor:
        logits: torch.Tensor = model(pixel_values=pixel_values).logits
        return logits

    def margin() -> float:
        calibrate(model, answers)
        return worst_margin(answers(), labels)

    worst = fit(model, lambda: nn.functional.cross_entropy(answers(), labels), margin, good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot tell its images apart: after {MAX_STEPS} steps the smallest top-2 margin is "
            f"{worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more width or a larger image_size."
        )
    return worst


@torch.no_grad()
def tells_apart(model: nn.Module, pixel_values: torch.Tensor) -> bool:
    """Whether an untrained classifier answers different images differently at all; what does not, does not learn."""
    calibrate(model, lambda: model(pixel_values=pixel_values))
    logits = model(pixel_values=pixel_values).logits
    return float((logits - logits[:1]).abs().max()) > LEAST_CHANGE
