"""``zoo check`` on files that other exporters made, right ones and wrong ones."""

import json

import pytest
import torch
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from conformance import checking
from conformance.cli import main
from conformance.sessions.protocol import SessionError
from exporters.config import ExportConfig
from exporters.pipeline import export, load_model, register_operators
from exporters.wrappers.causal_lm import CausalLMExportableModule

LENGTH = 24


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A checkpoint of random weights, large enough that its answers differ."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        initializer_range=0.5,
    )
    place = tmp_path_factory.mktemp("toy")
    LlamaForCausalLM(config).save_pretrained(place)
    return place


def lowered(programs, path, **constants):
    """Plain upstream lowering, without a delegate."""
    made = to_edge_transform_and_lower(
        programs,
        constant_methods=constants or None,
        compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
    ).to_executorch()
    with path.open("wb") as file:
        made.write_to_file(file)
    return path


class FromTheFirst(torch.nn.Module):
    """As ``export_llm`` exports: the position of the first token, the logits of the last."""

    def __init__(self, module, ignore=False):
        super().__init__()
        self.module, self.ignore = module, ignore

    def forward(self, tokens, input_pos):
        start = torch.zeros_like(input_pos) if self.ignore else input_pos
        return self.module(tokens, start + torch.arange(tokens.shape[1]))[:, -1]


def decoder(toy, *, one_token=True):
    register_operators()
    config = ExportConfig(recipe="portable", max_seq_len=LENGTH, dynamic_shapes=not one_token)
    return CausalLMExportableModule(load_model(toy), config)


def traced(module, inputs, shapes=None):
    with torch.no_grad():
        return torch.export.export(module, inputs, dynamic_shapes=shapes, strict=False)


def of_export_llm(toy, path, ignore=False, **constants):
    module = FromTheFirst(decoder(toy, one_token=False), ignore)
    length = torch.export.Dim("length", min=1, max=LENGTH)
    program = traced(module, (torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, dtype=torch.long)), ({1: length}, None))
    return lowered(program, path, **{"get_max_seq_len": LENGTH, "use_kv_cache": True, "get_vocab_size": 61, **constants})


def of_transformers(toy, path, **constants):
    """As optimum-executorch, whose metadata it has, over transformers' own module: one token a call."""
    from transformers.integrations.executorch import TorchExportableModuleForDecoderOnlyLM

    model = load_model(toy, attention="sdpa")
    model.generation_config.cache_implementation = "static"
    model.generation_config.use_cache = True
    module = TorchExportableModuleForDecoderOnlyLM(model, batch_size=1, max_cache_len=LENGTH)
    with torch.no_grad():
        program = module.export(input_ids=torch.zeros(1, 1, dtype=torch.long), cache_position=torch.zeros(1, dtype=torch.long))
    return lowered(program, path, **{"get_max_seq_len": LENGTH, "use_kv_cache": True, "get_eos_id": 2, **constants})


@pytest.fixture(scope="module")
def of_last_logits(toy, tmp_path_factory):
    """A right program, of one position and the last logits."""
    return of_export_llm(toy, tmp_path_factory.mktemp("right") / "model.pte")


def rows(verdict):
    return {row.check: row for row in verdict.rows}


def results(verdict):
    return {row.check: row.result for row in verdict.rows}


def test_a_program_of_transformers_own_module_passes(toy, tmp_path):
    verdict = checking.check(of_transformers(toy, tmp_path / "model.pte"), toy)
    assert verdict.status == "pass", verdict.message
    assert verdict.task == "text-generation"
    assert {name: results(verdict)[name] for name in ("constants", "logits", "tokens", "cache_state")} == dict.fromkeys(
        ("constants", "logits", "tokens", "cache_state"), "pass"
    )
    assert rows(verdict)["constants"].metrics["compared"] == ["get_eos_id", "get_max_seq_len", "use_kv_cache"]


def test_a_program_of_one_position_and_last_logits_passes(toy, of_last_logits):
    verdict = checking.check(of_last_logits, toy)
    assert verdict.status == "pass", verdict.message
    assert results(verdict)["cache_state"] == "pass"


def test_a_wrong_constant_fails_by_name(toy, tmp_path):
    verdict = checking.check(of_transformers(toy, tmp_path / "model.pte", get_vocab_size=62, get_bos_id=1), toy)
    assert verdict.status == "fail"
    assert "get_vocab_size is 62, expected 61" in verdict.message
    assert results(verdict)["logits"] == "pass"


def test_a_program_that_ignores_positions_fails(toy, tmp_path):
    verdict = checking.check(of_export_llm(toy, tmp_path / "model.pte", ignore=True), toy)
    assert verdict.status == "fail"
    assert {results(verdict)["logits"], results(verdict)["cache_state"]} == {"fail"}


def test_the_metadata_of_transformers_exporter_is_not_taken_for_an_account(tmp_path):
    from conformance.sessions.program import account_beside

    (tmp_path / "export.json").write_text('{"schema_version": 1, "export_format": "executorch", "components": {"model": {}}}')
    assert account_beside(tmp_path / "model.pte") is None
    (tmp_path / "export.json").write_text('{"schema_version": 1, "configuration": {}}')
    with pytest.raises(SessionError, match="is not a readable account"):
        account_beside(tmp_path / "model.pte")


def test_flipped_weights_fail(toy, tmp_path, of_last_logits):
    path, data = tmp_path / "model.pte", bytearray(of_last_logits.read_bytes())
    weights = load_model(toy).lm_head.weight.detach().numpy().tobytes()
    at = bytes(data).index(weights[:64])
    for place in range(at + 3, at + 403, 4):  # the exponents and signs of a hundred weights
        data[place] ^= 0xC0
    path.write_bytes(data)
    verdict = checking.check(path, toy)
    assert verdict.status == "fail"
    assert results(verdict)["logits"] == "fail"


def test_a_program_without_a_cache_is_compared_without_one(toy, tmp_path):
    model = load_model(toy)
    model.config.use_cache = False

    class Plain(torch.nn.Module):
        def forward(self, input_ids):
            return model(input_ids, use_cache=False).logits

    length = torch.export.Dim("length", min=2, max=LENGTH)
    program = traced(Plain(), (torch.zeros(1, 5, dtype=torch.long),), ({1: length},))
    verdict = checking.check(lowered(program, tmp_path / "model.pte"), toy)
    assert verdict.status == "pass", verdict.message
    assert results(verdict)["constants"] == results(verdict)["cache_state"] == "not compared"
    assert "keeps no cache" in rows(verdict)["cache_state"].message


def test_an_encoder_and_a_decoder_of_transformers_pass(tmp_path):
    from transformers.integrations.executorch import Seq2SeqLMExportableModule

    torch.manual_seed(0)
    place = tmp_path / "toy"
    T5ForConditionalGeneration(
        T5Config(
            vocab_size=61, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0,
            initializer_factor=3.0, max_length=LENGTH, tie_word_embeddings=False,
        )
    ).save_pretrained(place)  # fmt: skip
    model = load_model(place, task="text2text-generation")
    module = Seq2SeqLMExportableModule(
        model, batch_size=1, max_hidden_seq_length=32, cache_implementation="static", max_cache_length=LENGTH
    )
    with torch.no_grad():
        exported = module.export()
    path = lowered(
        {"encoder": exported.exported_encoder, "text_decoder": exported.exported_decoder},
        tmp_path / "model.pte",
        get_max_seq_len=LENGTH,
        decoder_start_token_id=0,
    )
    verdict = checking.check(path, place)
    assert verdict.status == "pass", verdict.message
    assert verdict.task == "text2text-generation"
    assert {results(verdict)[name] for name in ("constants", "logits", "tokens", "cache_state")} == {"pass"}


def test_what_has_no_known_layout_proves_nothing(toy, tmp_path):
    class Sum(torch.nn.Module):
        def forward(self, first, second, third):
            return first + second + third

    verdict = checking.check(lowered(traced(Sum(), (torch.ones(2),) * 3), tmp_path / "model.pte"), toy)
    assert verdict.status == "inconclusive"
    assert "no layout that is known" in verdict.message


def test_a_file_that_ends_the_process_is_a_crash_and_no_traceback(toy, of_last_logits, monkeypatch, capfd):
    monkeypatch.setattr("conformance.checking.RUN", "tests.unit.conformance.test_checking:dies")
    with pytest.raises(SystemExit) as ended:
        main(["check", str(of_last_logits), "--model", str(toy)])
    told = capfd.readouterr()
    assert ended.value.code == 1
    assert "crash: " in told.out
    assert "SIGABRT" in told.out
    assert "Traceback" not in told.out + told.err


def dies(request):
    """What the runtime does with some files."""
    import os

    os.abort()


def test_the_command_prints_json_and_its_exit_code_is_the_verdict(toy, of_last_logits, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", str(of_last_logits), "--model", str(toy), "--format", "json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "pass"
    assert [row["check"] for row in told["rows"]][:3] == ["file", "layout", "constants"]


def test_a_program_that_was_altered_after_its_export_fails_by_its_checksum(toy, tmp_path):
    made = export(toy, ExportConfig(recipe="portable", max_seq_len=LENGTH), tmp_path / "made")
    data = bytearray(made.program.read_bytes())
    data[-40] ^= 1
    made.program.write_bytes(data)
    verdict = checking.check(made.program, toy)
    assert verdict.status == "fail"
    assert results(verdict) == {"file": "fail"}
    assert "checksum" in verdict.message


def test_a_quantized_program_is_held_against_fp32_and_told_so(toy, tmp_path):
    made = export(toy, ExportConfig(recipe="portable", qembedding="8w", max_seq_len=LENGTH), tmp_path / "made")
    verdict = checking.check(made.program.rename(tmp_path / "model.pte"), toy)
    assert verdict.status == "pass", verdict.message
    assert "quantized (" in rows(verdict)["layout"].message
    assert "against fp32" in rows(verdict)["logits"].message
