import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import ExportConfig, ExportError

configs = st.builds(
    lambda qlinear, group, **options: ExportConfig(
        qlinear=qlinear,
        qlinear_group_size=group if qlinear else 32,
        recipe="xnnpack" if qlinear else options.pop("recipe"),
        **{name: value for name, value in options.items() if name != "recipe"},
    ),
    qlinear=st.sampled_from([None, "8da4w"]),
    group=st.sampled_from([32, 64, 96, 128, 256]),
    recipe=st.sampled_from(["portable", "xnnpack"]),
    use_custom_sdpa=st.booleans(),
    use_custom_kv_cache=st.booleans(),
    qembedding=st.sampled_from([None, "8w"]),
    dynamic_shapes=st.booleans(),
)


@given(configs)
def test_an_id_says_all_that_distinguishes_configurations(config):
    assert ExportConfig.from_id(config.id) == config


@given(configs, configs)
def test_different_configurations_have_different_ids(first, second):
    assert (first.id == second.id) == (first == second)


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
        ("xnnpack-fp32-8da5w", "unknown qlinear '8da5w'. Did you mean '8da4w'?"),
        ("xnnpack-fp32-emb4w", "unknown qembedding '4w'"),
        ("xnnpack-fp32-8da4w-g32", "type 'xnnpack-fp32-8da4w'"),
        ("portable-fp32-8da4w", "needs the recipe 'xnnpack'"),
        ("xnnpack-fp32-8da4w-g48", "multiples of 32"),
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
        ({"qlinear": "8da4w", "qlinear_group_size": 0}, "qlinear_group_size is 0"),
        ({"qlinear": "8da4w", "qlinear_group_size": "32"}, "qlinear_group_size is '32'"),
        ({"qlinear_group_size": 64}, "would be ignored"),
        ({"allow_skipped_layers": True}, "would be ignored"),
    ],
)
def test_an_option_is_honoured_or_refused_never_ignored(options, says):
    with pytest.raises(ExportError) as error:
        ExportConfig.from_mapping(options)
    assert says in str(error.value)
