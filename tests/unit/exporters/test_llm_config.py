"""Configuration files in the shape of LlmConfig: every field is honoured or refused, and what is printed reads back."""

import contextlib
import dataclasses
import enum
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import ExportConfig, ExportError
from exporters.config import QEMBEDDING, QLINEAR
from exporters.llm_config import _TRANSLATORS as TRANSLATED
from exporters.llm_config import ALWAYS, HUB_IDS, REFUSED, RENAMED, Request, check_model_class, check_params, hub_id, read
from exporters.llm_schema import Base, LlmConfig, Lora, Method, paths

LENGTHS = {"export.max_seq_length", "export.max_context_length"}


@pytest.fixture
def options(tmp_path):
    """Reads a file with the given text, and overrides."""

    def run(text="", *overrides):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return read(path, overrides)

    return run


@pytest.fixture
def refused(options):
    """Reads a file that is refused in one line, and gives the line."""

    def run(text="", *overrides):
        with pytest.raises(ExportError) as caught:
            Request.from_options(options(text, *overrides))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


def leaves(instance, above=""):
    """Every field of a dataclass and its default, as upstream has them."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{above}{field.name}.")
        else:
            yield f"{above}{field.name}", value.value if isinstance(value, enum.Enum) else value


def ours(path):
    value = LlmConfig()
    for name in path.split("."):
        value = getattr(value, name)
    return value


def test_the_schema_is_that_of_the_installed_executorch():
    from executorch.extension.llm.export.config import llm_config as upstream

    assert {path: ours(path) for path in paths()} == dict(leaves(upstream.LlmConfig()))
    for here, there in ((Lora, upstream.LoraConfig), (Method, upstream.MethodConfig)):
        assert set(here.model_fields) == {field.name for field in dataclasses.fields(there)}
    names = set(Base.model_fields["model_class"].annotation.__args__)
    assert names == {each.value for each in upstream.ModelType}
    assert set(HUB_IDS) <= names


def test_every_field_is_honoured_or_refused_with_a_reason():
    honoured = {*RENAMED, *TRANSLATED, *ALWAYS, *LENGTHS}
    refused = {path for path in paths() if any(path == each or path.startswith(f"{each}.") for each in REFUSED)}
    assert honoured | refused == set(paths())
    assert not honoured & refused


@pytest.mark.parametrize("path", sorted(set(paths()) - set(ALWAYS) - {"base.model_class"}))
def test_a_field_at_its_default_is_not_refused(options, path):
    value = ours(path)
    options("", f"{path}={json.dumps(value)}")


@pytest.mark.parametrize("path", sorted(ALWAYS))
def test_the_contrary_of_what_is_always_so_is_refused(options, refused, path):
    value, reason = ALWAYS[path]
    assert options("", f"{path}={value}") == {}
    told = refused("", f"{path}={not value}")
    assert f"{path}: {not value}: {reason}; leave it out, or write {value}" in told


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("backend.coreml.enabled=True", "lowers for CPUs"),
        ("backend.vulkan.force_fp16=True", "lowers for CPUs"),
        ("backend.qnn.soc_model=SM8750", "lowers for CPUs"),
        ("backend.torchao.use_torchao_kernels_linear=True", "Arm CPUs"),
        ("base.use_lora=16", "merge the adapter"),
        ("base.lora_config={adapter_checkpoint: a}", "merge the adapter"),
        ("base.tokenizer_path=t.model", "lies beside the program"),
        ("base.preq_mode=8da4w", "quantized already"),
        ("model.expand_rope_table=True", "transformers'"),
        ("model.output_prune_map=map.json", "not pruned"),
        ("export.so_library=ops.so", "no library"),
        ("export.foundation_weights_file=w", "into the .pte"),
        ("multimethod.methods=[{method_name: lora_forward}]", "those of its task"),
        ("multimethod.share_mutable_buffers=True", "those of its task"),
        ("quantization.use_spin_quant=native", "not rotated"),
        ("quantization.use_qat=True", "quantization-aware"),
        ("quantization.calibration_limit=5", "nothing is calibrated"),
        ("quantization.qmode=8da4w-gptq", "use 8da4w"),
        ("quantization.qmode=torchao:8da5w", "Arm CPUs"),
        ("quantization.qmode=torchao:fpa4w", "Arm CPUs"),
        ("quantization.qmode=8da4", "Did you mean '8da4w'"),
        ("quantization.embedding_quantize=torchao:4,32", "Arm CPUs"),
        ("quantization.embedding_quantize=2,32", "8 or 4 bits"),
        ("quantization.embedding_quantize='8'", "8 or 4 bits"),
        ("quantization.pt2e_quantize=qnn_16a4w", "use xnnpack_dynamic"),
        ("base.checkpoint=path/to/consolidated.00.pth", "pickled and never loaded"),
        ("base.checkpoint=a/model.safetensors", "give its directory, a"),
        ("base.metadata=[1]", "base.metadata"),
        ("base.metadata='{'", "no JSON"),
        ("base.metadata='[1]'", "give names and values"),
        ("model.use_attention_sink=4,2044,8", "4 sinks, a window of 2044, and 8 positions"),
        ("model.use_attention_sink='4'", "give the sinks and the window"),
        ("model.dtype_override=fp23", "Did you mean 'fp32'"),
        ("base.model_class=lama3_2", "Did you mean 'llama3_2'"),
        ("debug.verbos=True", "Did you mean 'verbose'"),
        ("base.use_kv_cache=True", "It belongs to model."),
        ("base.lora_config.adapter_checkpont=a", "Did you mean 'adapter_checkpoint'"),
        ("options.qliner=8w", "Did you mean 'qlinear'"),
        ("options.scale=3", "scale is 3; give text"),
        ("options.check=maybe", "check is 'maybe'; allowed: true, false"),
        ("models.x=1", "Did you mean 'model'"),
        ("model.use_kv_cache=1", "should be a valid boolean"),
        ("export.max_seq_length='64'", "should be a valid integer"),
        ("export.output_name=a/b.pte", "is no file name"),
        ("model.use_kv_cache", "is no override"),
        ("~model.use_kv_cache", "is no override"),
        ("model.local_global_attention=[16, a]", "model.local_global_attention.1 is 'a'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(refused, override, reason):
    told = refused("", override)
    assert reason in told
    assert override.split("=")[0].split(".")[-1].strip("~")[:9] in told


def test_everything_that_is_refused_is_said_at_once(refused):
    told = refused("backend:\n  coreml:\n    enabled: True\n  qnn:\n    enabled: True\nmodel:\n  use_kv_cache: False\n")
    assert all(each in told for each in ("backend.coreml.enabled", "backend.qnn.enabled", "model.use_kv_cache: False"))


def test_an_override_inside_of_a_value_is_refused(refused):
    assert "model is 3 in the file, and no section" in refused("model: 3", "model.use_kv_cache=True")


def test_the_misspelt_key_of_the_documentation_is_caught(refused):
    told = refused("model:\n  use_kv_cache: True\n  use_sdpa_withp_kv_cache: True\n")
    assert "model.use_sdpa_withp_kv_cache does not exist. Did you mean 'use_sdpa_with_kv_cache'?" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: !!python/object/apply:os.system [ls]",
            "line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is refused",
        ),
        ("model: !mine {}", "the tag '!mine' is refused"),
        ("model:\n  use_kv_cache: True\n  use_kv_cache: False\n", "line 3: 'use_kv_cache' stands twice"),
        ("model: {}\nmodel: {}\n", "line 2: 'model' stands twice"),
        ("- model", "holds list where sections belong"),
        ("model", "holds str where sections belong"),
        ("model: [", "line 1"),
        ("a: 1\n---\nb: 2\n", "document"),
        ("model: {[]: 1}", "line 1"),
        ("1: 2", "keys should be strings"),
        ("base: {checkpoint: 2026-13-45}", "cannot be read as YAML"),
        ("a: &a [*a]", "a does not exist"),
        ("model: &a {use_attention_sink: *a}", "model.use_attention_sink"),
        ("[" * 2000, "cannot be read as YAML"),
        ("model: 3", "model is 3"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_in_one_line(refused, text, told):
    assert told in refused(text)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"none\.yaml does not exist. 'zoo export --print-config"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "bytes", tmp_path):
        with pytest.raises(ExportError, match="cannot be read"):
            read(path)


def test_fields_become_options(options):
    text = """
base:
  checkpoint: path/to/llama
  params: path/to/params.json
  metadata: '{"get_bos_id":128000, "get_eos_ids":[128009, 128001]}'
model:
  use_kv_cache: True
  use_sdpa_with_kv_cache: True
  quantize_kv_cache: True
  enable_dynamic_shape: False
  local_global_attention: [0, 16]
export:
  max_seq_length: 64
  max_context_length: 128
  output_name: tiny
quantization:
  qmode: int8
  group_size: 0
  embedding_quantize: 4,32
backend:
  xnnpack:
    enabled: True
    extended_ops: True
debug:
"""
    assert options(text, "+debug.verbose=True", "export.output_name=large", "options.scale=full") == {
        "model": "path/to/llama",
        "params": "path/to/params.json",
        "metadata": {"get_bos_id": 128000, "get_eos_ids": [128009, 128001]},
        "use_custom_sdpa": True,
        "use_custom_kv_cache": True,
        "quantize_kv_cache": True,
        "dynamic_shapes": False,
        "local_global_attention": "0,16",
        "max_seq_len": 128,
        "max_prefill_len": 64,
        "output_name": "large",
        "qlinear": "8w",
        "qlinear_group_size": 0,
        "qembedding": "4w",
        "qembedding_group_size": 32,
        "recipe": "xnnpack",
        "verbose": True,
        "scale": "full",
    }


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        (["export.max_seq_length=64"], {"max_seq_len": 64}),
        (["export.max_context_length=64"], {"max_seq_len": 64}),
        (["export.max_seq_length=64", "export.max_context_length=64"], {"max_seq_len": 64}),
        (["backend.xnnpack.enabled=False"], {"recipe": "portable"}),
        (["quantization.pt2e_quantize=xnnpack_dynamic"], {"pt2e_quantize": "xnnpack_dynamic"}),
        (['base.metadata=\'"{\\"get_bos_id\\":1}"\''], {"metadata": {"get_bos_id": 1}}),
        (["base.metadata={get_bos_id: 1}"], {"metadata": {"get_bos_id": 1}}),
        (["++model.dtype_override=bf16"], {"dtype": "bf16"}),
        (["base.checkpoint="], {"model": ""}),
        (["base.checkpoint=null"], {}),
        (["debug.generate_etrecord=true", "debug.profile_memory=yes"], {"etrecord": True, "profile_memory": True}),
        (
            ["model.use_sdpa_with_kv_cache=True", "options.use_custom_sdpa=False"],
            {"use_custom_sdpa": False, "use_custom_kv_cache": True},
        ),
        (
            ["model.use_attention_sink=4,28", "model.use_sdpa_with_kv_cache=False"],
            {"use_attention_sink": "4,28", "use_custom_sdpa": False, "use_custom_kv_cache": False},
        ),
    ],
)
def test_overrides_alone_are_a_file_as_well(overrides, asked):
    assert read(None, overrides) == asked


def test_a_context_shorter_than_a_prompt_is_refused(refused):
    assert "max_context_length 32 is shorter" in refused("", "export.max_context_length=32", "export.max_seq_length=64")


TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=8)
GROUP_SIZES = st.sampled_from([0, 32, 64])
VALUES = {
    **dict.fromkeys(("model", "params", "output_dir", "profile_path"), TEXT),
    "model_class": st.sampled_from(sorted(HUB_IDS)),
    "task": st.just("text-generation"),
    "format": st.sampled_from(["pte", "pt2", "onnx"]),
    "scale": st.sampled_from(["twin", "hub"]),
    "revision": TEXT | st.from_regex(r"[0-9]{1,7}|[0-9]e[0-9]|null|yes", fullmatch=True),
    "output_name": st.sampled_from(["tiny.pte", "1", "null"]),
    **dict.fromkeys(("check", "stock_lowering", "verbose", "etrecord", "profile_memory", "profile"), st.booleans()),
    "recipe": st.sampled_from(["xnnpack", "portable"]),
    "dtype": st.sampled_from(["fp32", "fp16", "bf16"]),
    **dict.fromkeys(("use_custom_sdpa", "use_custom_kv_cache", "quantize_kv_cache"), st.booleans()),
    **dict.fromkeys(("use_shared_embedding", "allow_skipped_layers", "dynamic_shapes"), st.booleans()),
    "use_attention_sink": st.just("4,28"),
    "local_global_attention": st.sampled_from(["16,0", "8"]),
    **dict.fromkeys(("qlinear", "qlinear_encoder"), st.sampled_from(sorted(QLINEAR))),
    **dict.fromkeys(("qembedding", "qembedding_encoder"), st.sampled_from(sorted(QEMBEDDING))),
    **dict.fromkeys(("qlinear_group_size", "qembedding_group_size"), GROUP_SIZES),
    **dict.fromkeys(("qlinear_encoder_group_size", "qembedding_encoder_group_size"), GROUP_SIZES),
    "pt2e_quantize": st.just("xnnpack_dynamic"),
    "max_seq_len": st.integers(2, 4096),
    "max_prefill_len": st.just(2),
    "max_source_len": st.integers(1, 4096),
    "image_size": st.integers(1, 512),
    "metadata": st.dictionaries(st.from_regex("get_[a-z]{3}", fullmatch=True), st.integers(0, 9), min_size=1),
}
"""Values of every option."""


@st.composite
def requests(draw):
    """Requests of all kinds: options are added in some order, as long as they go together."""
    asked = {}
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True)):
        further = {**asked, name: draw(VALUES[name])}
        with contextlib.suppress(ExportError):
            Request.from_options(further)
            asked = further
    return asked


def test_every_option_is_tried():
    options = {field.name for each in (Request, ExportConfig) for field in dataclasses.fields(each)} - {"config"}
    assert set(VALUES) == options


@given(requests())
def test_what_is_printed_reads_back_as_the_same_request(tmp_path_factory, asked):
    request = Request.from_options(asked)
    path = tmp_path_factory.mktemp("printed") / "config.yaml"
    path.write_text(request.to_yaml(), encoding="utf-8")
    assert Request.from_options(read(path)) == request


def test_a_request_at_its_defaults_prints_what_that_is():
    assert Request().to_yaml() == (
        "model:\n  use_kv_cache: true\n  use_sdpa_with_kv_cache: false\n  dtype_override: fp32\n  enable_dynamic_shape: true\n"
        "export:\n  output_dir: .\nbackend:\n  xnnpack:\n    enabled: true\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", {"get_bos_id": 1}),
        ("local_global_attention", "16,0"),
        ("pt2e_quantize", "xnnpack_dynamic"),
        ("max_prefill_len", 4),
    ],
)
def test_fields_of_the_configuration_reach_it(name, value):
    asked = {name: value, "max_seq_len": 8, "use_custom_kv_cache": True}
    assert getattr(Request.from_options(asked).config, name) == value


def test_a_class_of_models_names_its_checkpoint_or_says_what_to_give():
    assert hub_id("qwen3_0_6b") == "Qwen/Qwen3-0.6B"
    with pytest.raises(ExportError, match=r"base\.model_class llama2 names no published checkpoint; give base\.checkpoint"):
        hub_id("llama2")
    with pytest.raises(ExportError, match="Did you mean 'smollm2'"):
        hub_id("smollm3")


@pytest.fixture
def checkpoint(tmp_path):
    """A directory with the configuration of a Llama, which is all that is looked at."""
    configuration = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "rope_parameters": {"rope_theta": 5e5}}
    (tmp_path / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    return tmp_path


def test_a_checkpoint_of_another_class_is_refused(checkpoint):
    for same in ("llama3_2", "stories110m", "smollm2"):
        check_model_class(same, checkpoint)
    for other in ("qwen3_0_6b", "qwen3_5_2b", "phi_4_mini"):
        with pytest.raises(ExportError, match=f"{other} and the checkpoint .* model_type 'llama', not"):
            check_model_class(other, checkpoint)


def test_params_are_held_against_the_checkpoint(checkpoint):
    params = checkpoint / "params.json"
    params.write_text('{"dim": 64, "n_layers": 2, "rope_theta": 500000.0, "multiple_of": 256}', encoding="utf-8")
    assert check_params(params, checkpoint) == (["dim", "n_layers", "rope_theta"], ["multiple_of"])
    params.write_text('{"dim": 2048}', encoding="utf-8")
    with pytest.raises(ExportError, match=r"dim is 2048, and hidden_size in config\.json is 64"):
        check_params(params, checkpoint)
    for text in ("[]", "{"):
        params.write_text(text, encoding="utf-8")
        with pytest.raises(ExportError, match=r"base\.params"):
            check_params(params, checkpoint)
    with pytest.raises(ExportError, match="does not exist; leave it out"):
        check_params(checkpoint / "none.json", checkpoint)
