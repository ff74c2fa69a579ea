"""Defects of models that read a text or a sound, and write: of their encoder, their decoder, and what lies between."""

from __future__ import annotations

import torch

from conformance.sessions.seq2seq import ExecuTorchSeq2Seq
from tests.faults.defects import defect, on_model
from tests.faults.tampering import first_input, on_call, reprogrammed, says

T5 = "t5-small@xnnpack-fp32"
BART = "bart-base@xnnpack-fp32"
BART_STATIC = "bart-base@portable-fp32-8w-emb8w-enc8w-static"
WHISPER = "whisper-tiny@xnnpack-fp32"
MOONSHINE = "moonshine-tiny@xnnpack-fp32"


def on_states(patch, change):
    """Change what a decoder reads: ``change(before, read)`` of what the source before and this one left, states and a mask."""
    condition = ExecuTorchSeq2Seq.condition

    def changed(self, inputs):
        before = self._read
        condition(self, inputs)
        self._read = change(before, self._read)

    patch.setattr(ExecuTorchSeq2Seq, "condition", changed)


@defect("exporter", T5, caught_by="logits")
def relative_positions_off_by_a_bucket(patch):
    """The encoder looks up its bias of relative positions one bucket too low."""

    def change(model):
        table = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        table.data = table.data.roll(1, 0)

    on_model(patch, change)


@defect("exporter", WHISPER, caught_by="logits")
def positions_of_the_encoder_off_by_one(patch):
    """Every state of the encoder is given the position of the one before."""

    def change(model):
        table = model.model.encoder.embed_positions.weight
        table.data = table.data.roll(1, 0)

    on_model(patch, change)


@defect("session", T5, caught_by="source")
def padding_attended_by_the_encoder(patch):
    """The encoder is told that padding is text."""
    on_call(
        patch,
        ExecuTorchSeq2Seq,
        lambda method, inputs: (inputs[0], torch.ones_like(inputs[1])) if method == "encoder" else inputs,
    )


@defect("session", BART, caught_by="source")
def padding_attended_by_the_decoder(patch):
    """The decoder is told that padding was text."""
    on_states(patch, lambda before, read: (read[0], torch.ones_like(read[1])))


@defect("session", BART_STATIC, caught_by="logits")
def source_padded_on_the_left(patch):
    """A text that is shorter than the program's is padded in front instead of behind."""

    def change(method, inputs):
        if method != "encoder":
            return inputs
        padding = int((inputs[1] == 0).sum())
        return tuple(value.roll(padding, 1) for value in inputs)

    on_call(patch, ExecuTorchSeq2Seq, change)
    on_states(patch, lambda before, read: (read[0], read[1].roll(int((read[1] == 0).sum()), 1)))


@defect("session", T5, caught_by="logits")
def encoder_output_truncated(patch):
    """The encoder's last state is lost."""

    def change(before, read):
        kept = max(1, read[0].shape[1] - 1)
        return tuple(value[:, :kept].contiguous() for value in read)

    on_states(patch, change)


@defect("session", WHISPER, caught_by="source")
def end_of_a_sound_lost(patch):
    """The second half of the encoder's states is lost, where most sounds are silent."""

    def change(before, read):
        (states,) = read
        heard = torch.arange(states.shape[1]) < states.shape[1] // 2
        return (states * heard[None, :, None],)

    on_states(patch, change)


@defect("session", T5, caught_by="source")
def cross_attention_stale(patch):
    """The decoder reads what the encoder said of the first source, whatever comes after."""
    on_states(patch, lambda before, read: before or read)


@defect("session", T5, caught_by="source")
def states_mixed(patch):
    """Something of the source before is left in the encoder's states."""
    on_states(patch, lambda before, read: (read[0] + 0.01 * before[0].mean(1, keepdim=True), *read[1:]) if before else read)


@defect("session", WHISPER, caught_by="source")
def answers_kept_without_their_source(patch):
    """Answers are kept by tokens and positions, and given again when another sound begins with the same tokens."""
    step, kept = ExecuTorchSeq2Seq.step, {}

    def remembering(self, tokens, positions):
        key = (*tokens.flatten().tolist(), *positions.tolist())
        if key not in kept:
            kept[key] = step(self, tokens, positions).clone()
        return kept[key]

    patch.setattr(ExecuTorchSeq2Seq, "step", remembering)


@defect("session", T5, caught_by="source")
def source_cut_in_silence(patch):
    """A source that is too long is cut instead of refused."""
    condition = ExecuTorchSeq2Seq.condition
    patch.setattr(
        ExecuTorchSeq2Seq,
        "condition",
        lambda self, inputs: condition(self, {name: value[:, : self.max_source_len] for name, value in inputs.items()}),
    )


@defect("session", MOONSHINE, caught_by="source")
def sounds_filled_up_with_silence(patch):
    """A sound is made as long as the longest one, which this encoder listens to."""
    prepare = ExecuTorchSeq2Seq._sound

    def padded(self, sound):
        (sound,) = prepare(self, sound)
        return (torch.nn.functional.pad(sound, (0, self.max_source_len - sound.shape[1])),)

    patch.setattr(ExecuTorchSeq2Seq, "_sound", padded)


@defect("session", WHISPER, caught_by="logits")
def mel_filters_off_by_one(patch):
    """The program's encoder is given every mel bin in the place of the one above it."""
    on_call(patch, ExecuTorchSeq2Seq, first_input("encoder", lambda features: features.roll(1, 1)))


@defect("session", WHISPER, caught_by="baseline")
def mel_filters_of_both_sides_off_by_one(patch):
    """The feature extractor, from which eager PyTorch hears, too, puts every mel bin in the place of the one above it."""
    from conformance.tasks import speech_recognition

    extract = speech_recognition.features
    patch.setattr(
        speech_recognition,
        "features",
        lambda extractor, wave: {name: value.roll(1, 1) for name, value in extract(extractor, wave).items()},
    )


@defect("session", T5, caught_by="baseline")
def end_of_the_source_cut_for_both_sides(patch):
    """The last half of a text is cut before it is tokenized, so that neither side reads it."""
    from conformance.tasks import text2text_generation

    make = text2text_generation.text_source
    patch.setattr(
        text2text_generation,
        "text_source",
        lambda tokens, padding=0, pad=0: make(tokens[: max(1, len(tokens) // 2)], padding, pad),
    )


@defect("artifact", T5, caught_by="stage open")
def encoder_missing(directory):
    """The program has no method that is called encoder."""
    reprogrammed(directory, lambda plans: setattr(plans["encoder"], "name", "encode"))


@defect("artifact", T5, caught_by="contract")
def decoder_start_token_wrong(directory):
    """The program names the token that ends a text as the one that a text begins with."""
    says(directory, get_decoder_start_token_id=1, get_decoder_prompt_ids=1)


@defect("artifact", T5, caught_by="contract")
def eos_wrong(directory):
    """The program names padding as the token that ends a text."""
    says(directory, get_eos_ids=0)


@defect("artifact", WHISPER, caught_by="contract")
def sampling_rate_wrong(directory):
    """The program says that it takes sounds of a telephone."""
    says(directory, get_sampling_rate=8000)
