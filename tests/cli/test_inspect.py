"""``zoo inspect`` as a user types it."""

import json

import pytest


def test_a_table_says_where_bytes_and_operators_are(invoke, program):
    told = invoke("inspect", str(program))
    assert told.code == 0
    for words in (
        "size by part",
        "named data",
        "method forward",
        "llama::custom_sdpa.out",
        "FullyConnected",
        "get_max_seq_len",
    ):
        assert words in told.out
    assert "no export.json beside it" in told.out


def test_json_is_the_documented_object(invoke, artifact):
    from exporters.inspection import Inspection

    told = invoke("inspect", str(artifact.directory), "--format", "json")
    found = Inspection.model_validate_json(told.out)
    assert found.account.matches
    assert list(json.loads(told.out)) == [
        "schema_version",
        "file",
        "account",
        "methods",
        "constant_methods",
        "weights",
        "parts",
    ]


def test_a_page_is_written(invoke, program, tmp_path):
    told = invoke("inspect", str(program), "--html", "pages/out.html")
    assert told.code == 0
    assert (tmp_path / "pages" / "out.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("content", [b"", b"no program", b"\x08\0\0\0ET12eh00" + b"\xff" * 80])
def test_a_damaged_file_is_one_line(invoke, tmp_path, content):
    (tmp_path / "x.pte").write_bytes(content)
    told = invoke("inspect", "x.pte")
    assert told.code == 2
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("error: x.pte is ")


def test_a_cut_file_is_one_line(invoke, program, tmp_path):
    whole = program.read_bytes()
    (tmp_path / "x.pte").write_bytes(whole[: len(whole) // 2])
    told = invoke("inspect", "x.pte")
    assert told.code == 2
    assert "it was truncated" in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none.pte",), "none.pte does not exist"),
        ((".",), "holds no export.json"),
        (("x.pte", "--format", "xml"), "unknown format 'xml'"),
        (("x.pte", "--html", "a.html", "--format", "json"), "--html writes a page of its own"),
    ],
)
def test_what_cannot_be_done_is_said(invoke, arguments, told):
    found = invoke("inspect", *arguments)
    assert found.code == 2
    assert told in found.err
