import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import ExportConfig, ExportError
from exporters.config import DTYPES, GROUPED, PER_CHANNEL, PT2E, QEMBEDDING, QLINEAR, RECIPES


@st.composite
def options(draw):
    """Options that the exporter takes together, group sizes with and without their being said."""
    recipe, dtype = draw(st.sampled_from(RECIPES)), draw(st.sampled_from(DTYPES))
    taken = {"recipe": recipe, "dtype": dtype, "dynamic_shapes": draw(st.booleans())}
    pt2e = recipe == "xnnpack" and dtype == "fp32" and draw(st.booleans())
    taken["pt2e_quantize"] = draw(st.sampled_from(sorted(PT2E))) if pt2e else None
    for kind, schemes in (("qlinear", QLINEAR), ("qembedding", QEMBEDDING)):
        able = [name for name, scheme in schemes.items() if recipe in scheme.group_sizes and dtype in scheme.dtypes]
        taken[kind] = name = draw(st.sampled_from([None, *able] if kind == "qembedding" or not pt2e else [None]))
        if name is not None:
            sizes = {GROUPED: [32, 64, 96, 128, 256], PER_CHANNEL: [PER_CHANNEL]}
            allowed = [size for each in schemes[name].group_sizes[recipe] for size in sizes[each]]
            taken[f"{kind}_group_size"] = draw(st.sampled_from([None, *allowed]))
    for name in ("use_custom_sdpa", "use_custom_kv_cache"):
        taken[name] = draw(st.booleans())
    taken["quantize_kv_cache"] = taken["use_custom_kv_cache"] and draw(st.booleans())
    if taken["use_custom_sdpa"] and taken["use_custom_kv_cache"]:
        taken["use_attention_sink"] = draw(st.sampled_from([None, "4,28", "1,1", "4,1024", "16,28"]))
    if taken["use_custom_kv_cache"] and taken.get("use_attention_sink") is None:
        windows = draw(st.none() | st.lists(st.integers(0, 3) | st.integers(4, 4096), min_size=1, max_size=6).filter(any))
        taken["local_global_attention"] = windows and ",".join(map(str, windows))
    if recipe == "portable" and taken["qlinear"] is taken["qembedding"] is None:
        taken["use_shared_embedding"] = draw(st.booleans())
    return taken


configs = options().map(lambda taken: ExportConfig(**taken))


def meant(config):
    """Every option, with the group sizes in effect: the default may be said or not."""
    sizes = {"qlinear_group_size": config.group_size, "qembedding_group_size": config.embedding_group_size}
    return {**config.to_mapping(), **sizes}


@given(configs)
def test_an_id_says_all_that_distinguishes_configurations(config):
    again = ExportConfig.from_id(config.id)
    assert meant(again) == meant(config)
    assert ExportConfig.from_id(again.id) == again


@given(configs, configs)
def test_different_configurations_have_different_ids(first, second):
    assert (first.id == second.id) == (meant(first) == meant(second))


@given(configs)
def test_what_rounds_or_forgets_reduces(config):
    layers = config.qlinear or config.qembedding or config.pt2e_quantize
    assert config.quantized == (layers is not None)
    exact = config.dtype == "fp32" and not layers and not config.quantize_kv_cache
    exact = exact and config.attention_sink is None and config.local_windows is None
    assert config.reduces == (not exact)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("xnnpack-fp16-kv8", {"dtype": "fp16", "use_custom_kv_cache": True, "quantize_kv_cache": True}),
        (
            "xnnpack-fp32-sdpa-kv-sink4w28",
            {"use_custom_sdpa": True, "use_custom_kv_cache": True, "use_attention_sink": "4,28"},
        ),
        ("xnnpack-fp32-pt2e", {"pt2e_quantize": "xnnpack_dynamic"}),
        (
            "xnnpack-fp32-pt2eqc4-emb8w-static",
            {"pt2e_quantize": "xnnpack_dynamic_qc4", "qembedding": "8w", "dynamic_shapes": False},
        ),
        ("portable-fp32-kv-lg16.0", {"recipe": "portable", "use_custom_kv_cache": True, "local_global_attention": "16,0"}),
        ("xnnpack-fp32-kv-lg0.16.32", {"use_custom_kv_cache": True, "local_global_attention": "0,16,32,0,16,32"}),
        ("xnnpack-fp32-8da4w-pc", {"qlinear": "8da4w", "qlinear_group_size": 0}),
        ("xnnpack-fp32-8da4w+8da8w-g128", {"qlinear": "8da4w,8da8w", "qlinear_group_size": 128}),
        ("xnnpack-bf16-emb4wg64", {"dtype": "bf16", "qembedding": "4w", "qembedding_group_size": 64}),
        ("xnnpack-fp32-emb4wpc", {"qembedding": "4w", "qembedding_group_size": 0}),
        (
            "portable-fp32-8w-emb8wg32-static",
            {
                "recipe": "portable",
                "qlinear": "8w",
                "qembedding": "8w",
                "qembedding_group_size": 32,
                "dynamic_shapes": False,
            },
        ),
        ("portable-bf16-shared", {"recipe": "portable", "dtype": "bf16", "use_shared_embedding": True}),
    ],
)
def test_each_part_of_an_id_is_an_option(text, options):
    assert ExportConfig.from_id(text) == ExportConfig(**options)


def test_a_group_size_that_is_not_said_is_the_schemes_own():
    sizes = {name: ExportConfig(qlinear=name).group_size for name in QLINEAR}
    assert sizes == {"8da4w": 32, "8da8w": 0, "8da4w,8da8w": 32, "8w": 0, "4w": 0}
    assert {name: ExportConfig(qembedding=name).embedding_group_size for name in QEMBEDDING} == {"8w": 0, "4w": 32}
    assert ExportConfig().group_size == ExportConfig().embedding_group_size == PER_CHANNEL
    assert ExportConfig.from_id("xnnpack-fp32-sdpa-kv-sink4w28").attention_sink == (4, 28)
    assert ExportConfig().attention_sink is None


@given(configs, st.integers(2, 10**6))
def test_a_mapping_holds_every_option(config, max_seq_len):
    longer = ExportConfig.from_mapping({**config.to_mapping(), "max_seq_len": max_seq_len})
    assert ExportConfig.from_mapping(longer.to_mapping()) == longer
    assert longer.max_seq_len == max_seq_len


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_refused(text):
    try:
        config = ExportConfig.from_id(text)
    except ExportError:
        return
    assert config.id == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("xnpack-fp32", "unknown recipe 'xnpack'. Did you mean 'xnnpack'?"),
        ("xnnpack-fp8", "unknown dtype 'fp8'"),
        ("xnnpack-fp32-kv-sdpa", "is no configuration id"),
        ("xnnpack", "is no configuration id"),
        ("xnnpack-fp32-8da5w", "unknown qlinear '8da5w'. Did you mean '8da"),
        ("xnnpack-fp32-emb5w", "unknown qembedding '5w'. Did you mean '"),
        ("xnnpack-fp32-8da4w-g32", "type 'xnnpack-fp32-8da4w'"),
        ("xnnpack-fp32-8da8w-pc", "type 'xnnpack-fp32-8da8w'"),
        ("xnnpack-fp32-emb4wg32", "type 'xnnpack-fp32-emb4w'"),
        ("xnnpack-fp32-8da4w-g064", "type 'xnnpack-fp32-8da4w-g64'"),
        ("xnnpack-fp32-g64", "is no configuration id"),
        ("xnnpack-fp32-sink4", "is no configuration id"),
        ("xnnpack-fp32-sdpa-kv-sink4w0", "is no configuration id"),
        ("portable-fp32-8da4w", "qlinear '8da4w' needs the recipe 'xnnpack': no kernel of the recipe 'portable' runs it"),
        ("xnnpack-fp32-8da4w-g48", "48 cannot be honoured with qlinear '8da4w' and the recipe 'xnnpack'"),
        ("xnnpack-fp32-8da4w-g48", "their kernels take a multiple of 32 or 0 (one scale a channel)"),
        ("xnnpack-fp32-8w-g32", "their kernels take 0 (one scale a channel)"),
        ("xnnpack-fp32-8da4w+8da8w-pc", "their kernels take a multiple of 32."),
        ("xnnpack-bf16-8da4w", "qlinear '8da4w' cannot be had with dtype 'bf16': its kernels take fp32 and fp16"),
        ("xnnpack-fp16-4w", "qlinear '4w' cannot be had with dtype 'fp16': its kernels take fp32"),
        ("portable-fp32-emb4wg48", "qembedding_group_size 48 cannot be honoured"),
        ("portable-fp32-emb8w-shared", "use_shared_embedding needs the recipe 'portable' and no quantization"),
        ("xnnpack-fp32-shared", "use_shared_embedding needs the recipe 'portable' and no quantization"),
        ("xnnpack-fp32-kv-sink4w28", "use_attention_sink needs use_custom_sdpa and use_custom_kv_cache; add them"),
        ("xnnpack-fp32-sdpa-sink4w28", "use_attention_sink needs use_custom_sdpa and use_custom_kv_cache; add them"),
    ],
)
def test_an_id_that_means_nothing_is_refused_with_a_way_on(text, says):
    with pytest.raises(ExportError) as error:
        ExportConfig.from_id(text)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"use_custom_spda": True}, "unknown option 'use_custom_spda'. Did you mean 'use_custom_sdpa'?"),
        ({"use_custom_sdpa": "yes"}, "use_custom_sdpa is 'yes'"),
        ({"max_seq_len": 1}, "max_seq_len is 1"),
        ({"max_seq_len": True}, "max_seq_len is True"),
        ({"qlinear": "8da4w", "qlinear_group_size": -32}, "qlinear_group_size is -32; give a whole number of at least 0"),
        ({"qlinear": "8da4w", "qlinear_group_size": "32"}, "qlinear_group_size is '32'"),
        ({"qlinear": "8da4w", "qlinear_group_size": False}, "qlinear_group_size is False"),
        ({"qembedding": "4w", "qembedding_group_size": 1.5}, "qembedding_group_size is 1.5"),
        ({"qlinear_group_size": 64}, "without qlinear would be ignored; add qlinear 8da4w"),
        ({"qlinear_group_size": 0}, "without qlinear would be ignored"),
        ({"qembedding_group_size": 32}, "without qembedding would be ignored; add qembedding 8w"),
        ({"allow_skipped_layers": True}, "would be ignored"),
        ({"quantize_kv_cache": True}, "quantize_kv_cache needs use_custom_kv_cache, whose cache it stores in 8 bits; add it"),
        ({"quantize_kv_cache": 8, "use_custom_kv_cache": True}, "quantize_kv_cache is 8; allowed: true, false"),
        ({"use_attention_sink": "four"}, "use_attention_sink is 'four'; give the sinks and the window in tokens"),
        ({"use_attention_sink": (4, 28)}, "use_attention_sink is (4, 28); give"),
        ({"local_global_attention": "16,0"}, "local_global_attention needs use_custom_kv_cache, whose rings keep the windows"),
        (
            {"local_global_attention": [16, 0], "use_custom_kv_cache": True},
            "local_global_attention is [16, 0]; give the windows",
        ),
        ({"local_global_attention": "016", "use_custom_kv_cache": True}, "local_global_attention is '016'"),
        ({"local_global_attention": "0,0", "use_custom_kv_cache": True}, "'0,0' gives no layer a window and would be ignored"),
        (
            {
                "local_global_attention": "16",
                "use_attention_sink": "4,28",
                "use_custom_kv_cache": True,
                "use_custom_sdpa": True,
            },
            "both say what a layer forgets; give one of the two",
        ),
        (
            {"pt2e_quantize": "xnnpack"},
            "unknown pt2e_quantize 'xnnpack'. Did you mean 'xnnpack_dynamic'?",
        ),
        ({"pt2e_quantize": "xnnpack_dynamic", "qlinear": "8da4w"}, "pt2e_quantize and qlinear both quantize linear layers"),
        ({"pt2e_quantize": "xnnpack_dynamic", "qlinear_encoder": "8da4w"}, "pt2e_quantize and qlinear_encoder both quantize"),
        ({"pt2e_quantize": "xnnpack_dynamic", "recipe": "portable"}, "needs the recipe 'xnnpack', whose kernels it quantizes"),
        ({"pt2e_quantize": "xnnpack_dynamic", "dtype": "fp16"}, "'xnnpack_dynamic' cannot be had with dtype 'fp16'"),
        ({"max_prefill_len": 1}, "max_prefill_len is 1; give a whole number of at least 2"),
        ({"max_prefill_len": 65, "max_seq_len": 64}, "max_prefill_len 65 exceeds the 64 positions of the cache (max_seq_len)"),
        ({"max_prefill_len": 8, "dynamic_shapes": False}, "max_prefill_len 8 without dynamic_shapes would be ignored"),
        ({"dtype": "fp64"}, "unknown dtype 'fp64'. Did you mean 'fp"),
    ],
)
def test_an_option_is_honoured_or_refused_never_ignored(options, says):
    with pytest.raises(ExportError) as error:
        ExportConfig.from_mapping(options)
    assert says in str(error.value)
