"""Defects of models of one pass: encoders of texts, embeddings, classifiers and detectors of images, and spelling."""

from __future__ import annotations

import torch

from conformance.sessions.executorch import ExecuTorchInference, ExecuTorchSession
from tests.faults.defects import defect, on_model, on_wrapper
from tests.faults.tampering import first_input, on_answer, on_call, says

BERT = "bert-base@xnnpack-fp32"
BERT_FP16 = "bert-base@xnnpack-fp16"
MINILM_STATIC = "all-minilm-l6@xnnpack-fp32-static"
EMBEDDING = "qwen3-embedding-0.6b@xnnpack-fp32"
VIT = "vit-base@xnnpack-fp32"
RESNET = "resnet-50@xnnpack-fp32"
DETR = "detr-resnet-50@xnnpack-fp32"
YOLOS = "yolos-tiny@xnnpack-fp32"
WAV2VEC2 = "wav2vec2-base@xnnpack-fp32"


def on_input(patch, change):
    """Change the first input of the program."""
    on_call(patch, ExecuTorchInference, first_input("forward", change))


def on_parts(patch, kind, change):
    """Change all modules of a kind in the model that is exported."""

    def all_of(model):
        found = [module for module in model.modules() if isinstance(module, kind)]
        assert found
        for module in found:
            change(module)

    on_model(patch, all_of)


# Texts.


@defect("session", BERT, caught_by="shapes")
def mask_ignored(patch):
    """Every token attends to padding."""
    on_call(patch, ExecuTorchInference, lambda method, inputs: (inputs[0], torch.ones_like(inputs[1])))


@defect("session", BERT, caught_by="logits")
def first_token_masked(patch):
    """The first token is taken for padding."""

    def change(method, inputs):
        tokens, mask = inputs
        return tokens, torch.cat([torch.zeros_like(mask[:, :1]), mask[:, 1:]], dim=1)

    on_call(patch, ExecuTorchInference, change)


@defect("exporter", BERT, caught_by="shapes")
def positions_stop_halfway(patch):
    """From the 32nd token on all of a text have the same position."""

    def change(model):
        table = model.base_model.embeddings.position_embeddings.weight
        table[32:] = table[32].clone()

    on_model(patch, change)


@defect("exporter", BERT, caught_by="logits")
def output_bias_dropped(patch):
    """The output layer has no bias."""
    on_model(patch, lambda model: setattr(model.get_output_embeddings(), "bias", None))


@defect("exporter", BERT, caught_by="logits")
def attention_made_causal(patch):
    """A token sees those before it only."""

    def change(module):
        forward = module.model.forward

        def one_way(input_ids, attention_mask):
            place = torch.arange(input_ids.shape[1])
            seen = (place[None] <= place[:, None]) & (attention_mask[:, None, None] > 0)
            return forward(input_ids=input_ids, attention_mask=torch.where(seen, 0.0, -1e9))

        module.model.forward = one_way

    on_wrapper(patch, change)


@defect("exporter", BERT_FP16, caught_by="contract")
def dtype_widened(patch):
    """The weights are stored in fp32, where fp16 was asked for."""
    on_model(patch, lambda model: model.float())


@defect("session", BERT, caught_by="memory")
def memory_leaked_by_every_call(patch):
    """Nothing that was answered is ever let go."""
    infer, kept = ExecuTorchInference.infer, []

    def keeping(self, inputs):
        answer = infer(self, inputs)
        kept.append(answer.clone())
        return answer

    patch.setattr(ExecuTorchInference, "infer", keeping)


@defect("session", MINILM_STATIC, caught_by="retrieval")
def padding_pooled(patch):
    """The mean over a text takes in the states of its padding."""
    infer = ExecuTorchInference.infer

    def pooled(self, inputs):
        length = inputs["input_ids"].shape[1]
        room = (0, self.max_seq_len - length)
        padded = {name: torch.nn.functional.pad(value, room) for name, value in inputs.items()}
        mean = infer(self, padded).mean(0)
        return mean.repeat(length, 1)

    patch.setattr(ExecuTorchInference, "infer", pooled)


@defect("session", MINILM_STATIC, caught_by="shapes")
def padding_not_cut(patch):
    """A text is padded, and the states of its padding are answered, too."""
    infer = ExecuTorchInference.infer

    def whole(self, inputs):
        room = (0, max(0, self.max_seq_len - inputs["input_ids"].shape[1]))
        return infer(self, {name: torch.nn.functional.pad(value, room) for name, value in inputs.items()})

    patch.setattr(ExecuTorchInference, "infer", whole)


@defect("exporter", EMBEDDING, caught_by="hidden_states")
def final_norm_skipped(patch):
    """The states of the last layer are answered without their normalisation."""
    on_model(patch, lambda model: setattr(model, "norm", torch.nn.Identity()))


@defect("session", EMBEDDING, caught_by="retrieval")
def token_before_the_last_embedded(patch):
    """States are answered one token late, so that the last one is that of the token before."""
    forward = ExecuTorchSession.forward
    patch.setattr(ExecuTorchSession, "forward", lambda self, tokens, position: forward(self, tokens, position).roll(1, 0))


# Images.


@defect("session", VIT, caught_by="logits")
def channels_swapped(patch):
    """The program is shown blue for red."""
    on_input(patch, lambda pixels: pixels.flip(1))


@defect("session", VIT, caught_by="logits")
def image_transposed(patch):
    """The program is shown an image on its side."""
    on_input(patch, lambda pixels: pixels.transpose(2, 3))


@defect("session", RESNET, caught_by="logits")
def mean_of_another_model(patch):
    """The program is shown an image from which another mean was taken: one half, instead of ImageNet's."""
    mean = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[None, :, None, None]
    on_input(patch, lambda pixels: (pixels * deviation + mean - 0.5) / 0.5)


@defect("session", VIT, caught_by="classes")
def output_of_the_previous_request_returned(patch):
    """Each image is answered with what was said of the one before."""
    kept = []

    def late(method, answers):
        kept.append(tuple(answer.clone() for answer in answers))
        return kept[max(0, len(kept) - 2)]

    on_answer(patch, ExecuTorchInference, late)


@defect("exporter", VIT, caught_by="logits")
def patches_without_positions(patch):
    """Patches are not told where they lie."""
    on_model(patch, lambda model: model.vit.embeddings.position_embeddings.zero_())


@defect("exporter", VIT, caught_by="logits")
def class_token_taken_from_the_wrong_place(patch):
    """The state of the last patch is classified instead of the class token's."""
    on_model(
        patch,
        lambda model: model.vit.layernorm.register_forward_hook(lambda module, inputs, states: states.flip(1)),
    )


@defect("exporter", RESNET, caught_by="logits")
def statistics_reset(patch):
    """Batch normalisation has the statistics of an untrained model."""
    on_parts(patch, torch.nn.BatchNorm2d, lambda norm: norm.reset_running_stats())


@defect("exporter", RESNET, caught_by="logits")
def statistics_of_the_image(patch):
    """Batch normalisation takes the statistics of the image, as it does in training."""

    def change(norm):
        def of_the_image(states):
            centred = states - states.mean((0, 2, 3), keepdim=True)
            scaled = centred * (centred.square().mean((0, 2, 3), keepdim=True) + norm.eps).rsqrt()
            return scaled * norm.weight[:, None, None] + norm.bias[:, None, None]

        norm.forward = of_the_image

    on_parts(patch, torch.nn.BatchNorm2d, change)


@defect("exporter", RESNET, caught_by="logits")
def epsilon_of_another_framework(patch):
    """Batch normalisation adds a thousandth to the variance, as TensorFlow does."""
    on_parts(patch, torch.nn.BatchNorm2d, lambda norm: setattr(norm, "eps", 1e-3))


@defect("session", VIT, caught_by="baseline")
def image_not_normalised_for_both_sides(patch):
    """The image processor leaves out the mean and the deviation, and eager PyTorch sees such images, too."""
    unnormalised(patch)


@defect("session", DETR, caught_by="boxes")
def scene_not_normalised_for_both_sides(patch):
    """The image processor leaves out the mean and the deviation, and eager PyTorch sees such scenes, too."""
    unnormalised(patch)


def unnormalised(patch):
    """Let image processors leave out what they normalise with."""
    from transformers import AutoImageProcessor

    load = AutoImageProcessor.from_pretrained

    def changed(*arguments, **options):
        processor = load(*arguments, **options)
        assert processor.do_normalize
        processor.do_normalize = False
        return processor

    patch.setattr(AutoImageProcessor, "from_pretrained", changed)


# Objects.


@defect("session", DETR, caught_by="boxes")
def boxes_as_corners(patch):
    """Boxes are answered by their corners, where readers expect a centre and a size."""

    def change(method, answers):
        logits, boxes = answers
        half = boxes[..., 2:] / 2
        return logits, torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)

    on_answer(patch, ExecuTorchInference, change)


@defect("session", YOLOS, caught_by="boxes")
def boxes_permuted(patch):
    """Each query has the box of the one before it."""
    on_answer(patch, ExecuTorchInference, lambda method, answers: (answers[0], answers[1].roll(1, 1)))


@defect("session", DETR, caught_by="logits")
def nothing_found_moved_to_the_front(patch):
    """The column that says that a query finds nothing is the first instead of the last."""
    on_answer(patch, ExecuTorchInference, lambda method, answers: (answers[0].roll(1, 2), answers[1]))


@defect("exporter", YOLOS, caught_by="logits")
def detection_tokens_taken_from_the_wrong_place(patch):
    """The states of the last patches are read for objects, where those of the detection tokens in front should be."""

    def change(model):
        model.vit.layernorm.register_forward_hook(lambda module, inputs, states: states.roll(1, 1))

    on_model(patch, change)


# Sounds.


@defect("session", WAV2VEC2, caught_by="tokens")
def blank_moved_to_the_end(patch):
    """The class of no letter is the last instead of the first."""
    on_answer(patch, ExecuTorchInference, lambda method, answers: (answers[0].roll(-1, 2),))


@defect("artifact", WAV2VEC2, caught_by="contract")
def blank_wrong(directory):
    """The program names another class as that of no letter."""
    says(directory, get_blank_id=3)


@defect("exporter", WAV2VEC2, caught_by="logits")
def features_not_normalised(patch):
    """The normalisation behind the feature encoder is left out."""
    on_model(patch, lambda model: setattr(model.wav2vec2.feature_projection, "layer_norm", torch.nn.Identity()))


@defect("session", WAV2VEC2, caught_by="shapes")
def last_frame_lost(patch):
    """The last frame of a sound is not answered."""
    on_answer(patch, ExecuTorchInference, lambda method, answers: (answers[0][:, :-1],))


@defect("session", WAV2VEC2, caught_by="baseline")
def sound_too_fast_for_both_sides(patch):
    """Sounds are heard at twice their speed, by eager PyTorch, too: every other sample is left out."""
    from conformance.tasks import ctc

    extract = ctc.features
    patch.setattr(ctc, "features", lambda extractor, wave: extract(extractor, wave[::2]))
