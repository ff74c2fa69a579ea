"""Defects of an artifact: what became of a sound program and its account on disk."""

from __future__ import annotations

import shutil

from conformance.artifacts import cached_export
from exporters.artifact import HEADER_BYTES, program_parts
from exporters.config import ExportConfig
from tests.faults.defects import defect, rewritten
from zoo import registry
from zoo.checkpoints import resolve

SMOLLM = "smollm2-135m@xnnpack-fp32-sdpa-kv"
PLAIN = "smollm2-135m@xnnpack-fp32"
QUANTIZED = "smollm2-135m@xnnpack-fp32-sdpa-kv-8da4w-emb8w"
SHARED = "smollm2-135m@portable-fp32-sdpa-shared"
INT8 = "smollm2-135m@xnnpack-fp32-sdpa-kv8"


def program(directory):
    """The program, and the bytes of it."""
    path = directory / "model.pte"
    return path, bytearray(path.read_bytes())


def flip_bits(directory):
    """Flip the highest bit of every fourth byte in the middle of the weights."""
    path, data = program(directory)
    weights = program_parts(bytes(data[:HEADER_BYTES])).program
    middle = (weights + len(data)) // 2
    for at in range(middle // 4 * 4 + 3, middle + 4096, 4):
        data[at] ^= 0x80
    path.write_bytes(data)


def put_in_place(directory, cell):
    """Put the program of another cell in the place of this one's."""
    name, configuration = cell.split("@")
    model = registry.get(name)
    config = ExportConfig.from_id(configuration, max_seq_len=model.twin.max_seq_len)
    other, _ = cached_export(resolve(model), config, task=model.task)
    shutil.copyfile(other.program, directory / "model.pte")


@defect("artifact", SMOLLM, caught_by="stage open")
def program_truncated(directory):
    """The last tenth of the file is missing."""
    path, data = program(directory)
    path.write_bytes(data[: -len(data) // 10])


@defect("artifact", SMOLLM, caught_by="stage open")
def weights_flipped(directory):
    """Bits of the weights are flipped after the program was written."""
    flip_bits(directory)


@defect("artifact", SMOLLM, caught_by="logits")
def weights_flipped_before_they_were_summed(directory):
    """Bits of the weights are flipped, and the account has the checksum of what came of it."""
    flip_bits(directory)
    rewritten(directory, lambda account: None)


@defect("artifact", SMOLLM, caught_by="stage open")
def account_of_another_program(directory):
    """The program is another model's, and the account this one's."""
    put_in_place(directory, "llama-3.2-1b@xnnpack-fp32-sdpa-kv")


@defect("artifact", SMOLLM, caught_by="logits")
def weights_of_another_checkpoint(directory):
    """The program was made of another checkpoint of the same architecture, and the account speaks of this one."""
    put_in_place(directory, "llama-3.2-1b@xnnpack-fp32-sdpa-kv")
    rewritten(directory, lambda account: None)


@defect("artifact", SMOLLM, caught_by="contract")
def program_of_another_configuration(directory):
    """The program has neither custom SDPA nor a custom cache, and the account says that it has."""
    put_in_place(directory, PLAIN)
    rewritten(directory, lambda account: None)


@defect("artifact", QUANTIZED, caught_by="contract")
def program_not_quantized(directory):
    """The program is the one that is not quantized, and the account says that it is."""
    put_in_place(directory, SMOLLM)
    rewritten(directory, lambda account: None)


@defect("artifact", QUANTIZED, caught_by="contract")
def account_of_other_groups(directory):
    """Of quantized weights the account has found other groups than were asked for."""

    def change(account):
        account["realised"]["linear_weights"][0]["group_size"] = 128

    rewritten(directory, change)


@defect("artifact", QUANTIZED, caught_by="contract")
def account_of_other_bits(directory):
    """Of quantized weights the account has found 8 bits where 4 were asked for."""

    def change(account):
        account["realised"]["linear_weights"][0]["bits"] = 8

    rewritten(directory, change)


@defect("artifact", QUANTIZED, caught_by="contract")
def account_of_an_embedding_not_fused(directory):
    """The account has not found the operator of a quantized embedding."""

    def change(account):
        account["realised"]["operators"].remove("quantized_decomposed::embedding_byte")

    rewritten(directory, change)


@defect("artifact", SMOLLM, caught_by="contract")
def account_of_no_delegate(directory):
    """The account has found no delegate."""
    rewritten(directory, lambda account: account["realised"].update(backends=[]))


@defect("artifact", SMOLLM, caught_by="contract")
def account_of_a_static_cache(directory):
    """The account has a cache of plain tensor operations, where the custom one was asked for."""
    rewritten(directory, lambda account: [layer.update(kind="static") for layer in account["cache"]])


@defect("artifact", INT8, caught_by="contract")
def account_of_a_cache_not_quantized(directory):
    """The account has a cache of 32 bits where one of 8 was asked for."""
    rewritten(directory, lambda account: [layer.update(bits=32) for layer in account["cache"]])


@defect("artifact", SHARED, caught_by="contract")
def account_of_an_embedding_stored_twice(directory):
    """The account has found a copy of the embedding in the output layer, which was to share it."""
    rewritten(directory, lambda account: account["realised"].update(shared_embedding=False))


@defect("artifact", SMOLLM, caught_by="contract")
def account_of_another_wrapper(directory):
    """The program was made by another wrapper than the registry has."""
    rewritten(directory, lambda account: account.update(wrapper="Seq2SeqLMExportableModule"))
