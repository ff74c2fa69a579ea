"""Defects of models that look or listen, and write: between an image or a sound and the tokens about it."""

from __future__ import annotations

import torch

from conformance.sessions.multimodal import MultimodalSession
from tests.faults.defects import defect, on_model, on_wrapper
from tests.faults.tampering import first_input, on_answer, on_call, reprogrammed, says

LLAVA = "llava-1.5-7b@xnnpack-fp32"
GEMMA = "gemma3-4b@xnnpack-fp32"
QWEN = "qwen2.5-vl-3b@xnnpack-fp32"
VOXTRAL = "voxtral-mini-3b@xnnpack-fp32"
QWEN_AUDIO = "qwen2-audio-7b@xnnpack-fp32"
GRANITE = "granite-speech-3.3-2b@xnnpack-fp32"


def on_features(patch, change):
    """Change the embeddings of a request: ``change(before, features)`` of the request before and of this one, [n, hidden]."""
    condition = MultimodalSession.condition

    def changed(self, inputs):
        before = self._features
        counts = condition(self, inputs)
        self._features = change(before, self._features)
        return counts

    patch.setattr(MultimodalSession, "condition", changed)


@defect("exporter", LLAVA, caught_by="encoder")
def last_layer_of_the_encoder_taken(patch):
    """The states of the vision encoder's last layer are projected, where the model takes the last but one."""

    def change(model):
        assert model.config.vision_feature_layer == -2
        model.config.vision_feature_layer = -1

    on_model(patch, change)


@defect("exporter", QWEN, caught_by="encoder")
def windows_of_the_encoder_ignored(patch):
    """Every layer of the vision encoder attends to the whole image."""

    def change(module):
        encoder = module.encoder
        encoder.lengths = [[sum(lengths)] for lengths in encoder.lengths]

    on_wrapper(patch, change)


@defect("session", LLAVA, caught_by="logits")
def images_swapped(patch):
    """The second image of a request stands where the first should."""
    condition = MultimodalSession.condition
    patch.setattr(
        MultimodalSession,
        "condition",
        lambda self, inputs: condition(self, {name: value.flip(0) for name, value in inputs.items()}),
    )


@defect("session", LLAVA, caught_by="logits")
def features_stale(patch):
    """The images of the request before are shown."""
    on_features(patch, lambda before, features: before if len(before) == len(features) else features)


@defect("session", LLAVA, caught_by="logits")
def features_late(patch):
    """Every embedding stands one placeholder too far to the right."""
    on_features(patch, lambda before, features: features.roll(1, 0))


@defect("session", LLAVA, caught_by="logits")
def placeholders_kept(patch):
    """Placeholders keep the embedding of their own token."""
    condition = MultimodalSession.condition

    def blind(self, inputs):
        counts = condition(self, inputs)
        self._placeholder = -1
        return counts

    patch.setattr(MultimodalSession, "condition", blind)


@defect("session", LLAVA, caught_by="cache_state")
def positions_slip(patch):
    """From the fortieth token on, positions are one too small."""
    step = MultimodalSession.step
    patch.setattr(
        MultimodalSession,
        "step",
        lambda self, tokens, positions: step(self, tokens, torch.where(positions > 40, positions - 1, positions)),
    )


@defect("session", GEMMA, caught_by="logits")
def images_attended_causally(patch):
    """The embeddings of an image see only those before them."""
    blocks = MultimodalSession._blocks
    patch.setattr(MultimodalSession, "_blocks", lambda self, places: torch.full_like(blocks(self, places), -1))


@defect("session", QWEN, caught_by="logits")
def rows_and_columns_ignored(patch):
    """Rows and columns of an image are taken for positions of a text."""
    patch.setattr(MultimodalSession, "_places", lambda self: torch.arange(len(self._sequence)).repeat(3, 1))


@defect("session", LLAVA, caught_by="encoder")
def channels_swapped(patch):
    """The program is shown blue for red."""
    on_call(patch, MultimodalSession, first_input("vision_encoder", lambda pixels: pixels.flip(1)))


@defect("session", GEMMA, caught_by="encoder")
def image_normalised_twice(patch):
    """The program is shown an image from which the mean was taken twice."""
    on_call(patch, MultimodalSession, first_input("vision_encoder", lambda pixels: (pixels - 0.5) / 0.5))


@defect("session", LLAVA, caught_by="encoder")
def encoder_output_truncated(patch):
    """The encoder's last embedding is lost, and zeros take its place."""

    def change(features):
        kept = torch.arange(features.shape[1]) < features.shape[1] - 1
        return features * kept[None, :, None]

    on_answer(patch, MultimodalSession, first_input("vision_encoder", change))


@defect("session", VOXTRAL, caught_by="encoder")
def mel_filters_off_by_one(patch):
    """The program's encoder is given every mel bin in the place of the one above it."""
    on_call(patch, MultimodalSession, first_input("audio_encoder", lambda features: features.roll(1, 1)))


@defect("exporter", VOXTRAL, caught_by="encoder")
def positions_of_the_sound_off_by_one(patch):
    """Every frame of a sound is given the position of the frame before it."""

    def change(model):
        positions = model.get_submodule("model.audio_tower.embed_positions").weight
        positions.copy_(positions.roll(1, 0))

    on_model(patch, change)


@defect("session", GRANITE, caught_by="encoder")
def frames_paired_wrongly(patch):
    """Frames are paired from the second one on, so that each lies beside its other neighbour."""

    def change(pairs):
        frames = pairs.reshape(1, -1, pairs.shape[2] // 2)
        return frames.roll(-1, 1).reshape(pairs.shape)

    on_call(patch, MultimodalSession, first_input("audio_encoder", change))


@defect("session", QWEN_AUDIO, caught_by="encoder")
def silence_attended(patch):
    """The encoder is told that the silence behind a sound is part of it, and its embeddings are cut as before."""
    run = MultimodalSession.run

    def change(self, method, *inputs):
        if method != "audio_encoder":
            return run(self, method, *inputs)
        (_, count) = (each.clone() for each in run(self, method, *inputs))
        features, _ = run(self, method, inputs[0], torch.ones_like(inputs[1]))
        return features, count

    patch.setattr(MultimodalSession, "run", change)


@defect("session", LLAVA, caught_by="runner")
def runner_shown_the_image_late(patch):
    """ExecuTorch's runner is given the image behind the question instead of within it."""
    parts = MultimodalSession.runner_parts
    patch.setattr(
        MultimodalSession,
        "runner_parts",
        lambda self, prompt, inputs: sorted(parts(self, prompt, inputs), key=lambda part: not isinstance(part, list)),
    )


@defect("session", LLAVA, caught_by="baseline")
def images_of_both_sides_swapped(patch):
    """The processor hands over the images of a request in the wrong order, and eager PyTorch sees them so, too."""
    from conformance.tasks import multimodal_text_to_text as task

    prepared = task._prepared
    patch.setattr(task, "_prepared", lambda processor, shown: prepared(processor, shown[::-1]))


@defect("artifact", LLAVA, caught_by="stage open")
def encoder_missing(directory):
    """The program has no method that is called vision_encoder."""
    reprogrammed(directory, lambda plans: setattr(plans["vision_encoder"], "name", "image_encoder"))


@defect("artifact", LLAVA, caught_by="contract")
def image_size_wrong(directory):
    """The program says that its images are those of the next larger model."""
    says(directory, get_image_height=336, get_image_width=336)


@defect("artifact", LLAVA, caught_by="contract")
def placeholder_wrong(directory):
    """The program names the token beside the placeholder as the one that stands for an image."""
    says(directory, get_image_token_id=4)
