"""ExecuTorch's own runner reads the constant methods and says the same text."""

import dataclasses
import json
import subprocess
import sys

import pytest

from conformance.generate import generate
from conformance.sessions.executorch import ExecuTorchSession
from exporters.pipeline import export

# In a process of its own: the runner is native code, and it prints to stdout and stderr as it likes.
RUN = """
import json, sys
import executorch.extension.llm.custom_ops.custom_ops, executorch.kernels.quantized
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner
program, tokenizer, prompt, count, bos = sys.argv[1:]
runner = TextLLMRunner(program, tokenizer)
said = []
options = GenerationConfig(max_new_tokens=int(count), temperature=0.0, echo=False, num_bos=int(bos), num_eos=0)
runner.generate(prompt, options, said.append)
print("\\nSAID " + json.dumps("".join(said)))
"""


PROMPTS = ("Are seals friendly?", "How is bread made?", "What is a lighthouse for?")


@pytest.mark.parametrize("prompt", PROMPTS)
def test_text_llm_runner_says_the_same_text(artifact, gemma3_twin, prompt):
    says_the_same(artifact, gemma3_twin, prompt)


def test_text_llm_runner_feeds_a_prompt_in_parts_as_the_program_bounds_a_call(artifact, gemma3_twin, tmp_path):
    config = dataclasses.replace(artifact.config, max_prefill_len=5)
    says_the_same(export(gemma3_twin, config, tmp_path), gemma3_twin, PROMPTS[0])


def says_the_same(artifact, checkpoint, prompt):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = tokenizer(prompt)["input_ids"]
    session = ExecuTorchSession(artifact.program)
    said = generate(session, ids, max_new_tokens=64 - len(ids), eos_ids=session.constant("get_eos_ids"))
    arguments = [artifact.program, checkpoint / "tokenizer.json", prompt, str(len(said.tokens)), "1"]
    ran = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    text = next(json.loads(line[5:]) for line in ran.stdout.splitlines() if line.startswith("SAID "))
    assert text == tokenizer.decode(said.tokens, skip_special_tokens=True)
    assert len(text) > 50
