"""Defects between a sound program and those who ask it."""

from __future__ import annotations

import torch

from conformance.sessions.eager import EagerSession
from conformance.sessions.executorch import ExecuTorchSession
from tests.faults.defects import defect

SMOLLM = "smollm2-135m@xnnpack-fp32-sdpa-kv"
PLAIN = "smollm2-135m@xnnpack-fp32"
GPT2 = "gpt2@xnnpack-fp32-sdpa-kv"
EMBEDDER = "qwen3-embedding-0.6b@xnnpack-fp32-sdpa-kv"


def stepping(patch, change):
    """Let ``change(step, tokens, positions)`` make a call of the program, where ``step`` is the sound one."""
    original = ExecuTorchSession.step
    patch.setattr(ExecuTorchSession, "step", lambda self, *arguments: change(lambda *given: original(self, *given), *arguments))


@defect("session", SMOLLM, caught_by="memory")
def memory_leaked_by_every_call(patch):
    """Nothing that was answered is ever let go."""
    kept = []

    def keeping(step, tokens, positions):
        answer = step(tokens, positions)
        kept.append(answer.clone())
        return answer

    stepping(patch, keeping)


@defect("session", SMOLLM, caught_by="memory")
def tokens_leaked_by_every_call(patch):
    """The tokens of every call are kept, and no reset lets go of them."""
    kept = []

    def keeping(step, tokens, positions):
        kept.append(tokens.clone())
        return step(tokens, positions)

    stepping(patch, keeping)


@defect("session", SMOLLM, caught_by="cache_state")
def prompt_truncated(patch):
    """Of a call no more than 32 tokens are fed, and the last answer stands for the rest."""

    def cutting(step, tokens, positions):
        answer = step(tokens[:, :32].contiguous(), positions[:32].contiguous())
        missing = tokens.shape[1] - answer.shape[1]
        return torch.cat([answer, answer[:, -1:].expand(1, missing, -1)], dim=1)

    stepping(patch, cutting)


@defect("session", GPT2, caught_by="logits")
def first_token_dropped(patch):
    """The token that begins a text is taken off the prompt: the next one stands in its place."""

    def dropping(step, tokens, positions):
        if positions[0] == 0 and tokens.shape[1] > 1:
            tokens = torch.cat([tokens[:, 1:], tokens[:, -1:]], dim=1)
        return step(tokens, positions)

    stepping(patch, dropping)


@defect("session", SMOLLM, caught_by="tokens")
def output_of_the_previous_request(patch):
    """A call is answered with what the last one of the same length was answered."""
    before = {}

    def late(step, tokens, positions):
        answer = step(tokens, positions).clone()
        earlier = before.get(tokens.shape[1], answer)
        before[tokens.shape[1]] = answer
        return earlier

    stepping(patch, late)


@defect("session", SMOLLM, caught_by="cache_state")
def answers_in_memory_of_the_next_call(patch):
    """Answers are views of memory that the next call of the same length overwrites."""
    memory = {}

    def viewing(step, tokens, positions):
        answer = step(tokens, positions)
        return memory.setdefault(tokens.shape[1], answer.clone()).copy_(answer)

    stepping(patch, viewing)


@defect("session", SMOLLM, caught_by="logits")
def logits_one_position_late(patch):
    """The logits of a token are those of the token before."""
    stepping(patch, lambda step, tokens, positions: step(tokens, positions).roll(1, dims=1))


@defect("session", EMBEDDER, caught_by="retrieval")
def hidden_states_of_another_token(patch):
    """The last hidden state of a text is that of its first token."""
    stepping(patch, lambda step, tokens, positions: step(tokens, positions).roll(-1, dims=1))


@defect("session", PLAIN, caught_by="logits")
def positions_reversed(patch):
    """The positions of a call count from its last token."""
    stepping(patch, lambda step, tokens, positions: step(tokens, positions.flip(0)))


@defect("session", SMOLLM, caught_by="cache_state")
def one_token_too_many_accepted(patch):
    """What does not fit into the cache is cut off without a word."""
    forward = ExecuTorchSession.forward

    def cutting(self, tokens, position):
        return forward(self, tokens[:, : self.max_seq_len - position], position)

    patch.setattr(ExecuTorchSession, "forward", cutting)


@defect("session", SMOLLM, caught_by="cache_state")
def sequence_not_begun_anew(patch):
    """After a reset the first call goes on where the last sequence ended."""
    ended = {"at": 0}

    def going_on(step, tokens, positions):
        last = int(positions[-1])
        if positions[0] == 0 and ended["at"] + last < 64:
            positions = positions + ended["at"]
        ended["at"] = int(positions[-1]) + 1
        return step(tokens, positions)

    stepping(patch, going_on)


@defect("session", SMOLLM, caught_by="baseline")
def eager_prompt_off(patch):
    """Eager PyTorch itself is fed another text than the checkpoint was trained on: each token is the next of the vocabulary."""
    call = EagerSession._call
    patch.setattr(EagerSession, "_call", lambda self, tokens: call(self, (tokens + 1) % self.model.config.vocab_size))
