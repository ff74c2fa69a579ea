"""An edit of a test file takes the entry and nothing else, and leaves a file that says the same otherwise."""

import ast
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.expectation_edits import edit, edited

PATH = Path("tests/models/test_it.py")
SOURCE = '''"""What is   particular, oddly  spaced."""
from conformance import KnownFailure, ModelConformance  # both

class TestIt(ModelConformance):
    model = IT  # a row
    # what is known
    known_failures = (
        # above the first
        KnownFailure("a-*",  stage='lower'),  # of the first
        # above the second
        KnownFailure("b", stage='run'),  # of the second

        # above the third
        KnownFailure("c", stage='emit')  # of the third
        # at the end
    )

    def test_own(self): pass
'''


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def after(source=SOURCE, **changes):
    return edited(source.encode(), {"TestIt": {int(name[1:]): names for name, names in changes.items()}}, PATH).decode()


@pytest.mark.parametrize(
    ("gone", "lost"),
    [
        ("_0", ["# above the first", "KnownFailure(\"a-*\",  stage='lower'),  # of the first"]),
        ("_1", ["# above the second", "KnownFailure(\"b\", stage='run'),  # of the second"]),
    ],
)
def test_an_entry_goes_with_its_own_comments_and_nothing_else_is_touched(gone, lost):
    assert lines(after(**{gone: ()})) == [line for line in lines(SOURCE) if line not in lost]


def test_the_last_entry_of_several_goes_with_its_comma():
    found = after(_2=())
    assert "of the third" not in found
    assert "above the third" not in found
    assert "    # of the second\n        # at the end\n    )\n" in found.replace("'run')  #", "'run')    #")
    assert len(ast.parse(found).body[2].body[1].value.elts) == 2


def test_with_the_last_entry_the_assignment_and_the_import_go():
    found = after(_0=(), _1=(), _2=())
    assert found == (
        '"""What is   particular, oddly  spaced."""\n'
        "from conformance import ModelConformance  # both\n\n"
        "class TestIt(ModelConformance):\n"
        "    model = IT  # a row\n\n"
        "    def test_own(self): pass\n"
    )


def test_an_import_that_is_used_elsewhere_stays():
    source = SOURCE.replace("def test_own(self): pass", "other = KnownFailure")
    assert "import KnownFailure, ModelConformance  # both" in after(source, _0=(), _1=(), _2=())


def test_an_entry_is_narrowed_to_what_still_fails():
    found = lines(after(_0=("a-1", "a-2")))
    assert found[6:9] == [
        "# above the first",
        "KnownFailure(\"a-1\",  stage='lower'),",
        "KnownFailure(\"a-2\",  stage='lower'),  # of the first",
    ]
    assert found[9:] == lines(SOURCE)[8:]


@pytest.mark.parametrize(
    ("source", "gone", "expected"),
    [
        ("[K('a'), K('b')]", "_0", "[K('b')]"),
        ("[K('a'), K('b')]", "_1", "[K('a')]"),
        ("(K('a'), K('b'))", "_1", "(K('a'),)"),
        ("(K('a'), K('b'))", "_0", "(K('b'),)"),
        ("K('a'), K('b')", "_1", "K('a'),"),
        ("(\n    K('a'),\n    K('b'))", "_0", "(\n    K('b'),)"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_way_to_write_it_stays_valid(source, gone, expected, ending):
    text, wanted = (
        f"class TestIt(M):\n    known_failures: tuple = {value}\n    model = 1\n".replace("\n", ending)
        for value in (source, expected)
    )
    found = after(text, **{gone: ()})
    ast.parse(found)
    assert found == wanted


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("known_failures = (K('a'),); model = 1", "model = 1"),
        ("model = 1; known_failures = (K('a'),)", "model = 1"),
        ("known_failures = (K('a'),)", "pass"),
    ],
)
def test_a_class_that_says_nothing_else_stays_valid(source, expected):
    assert after(f"class TestIt(M):\n    {source}\n", _0=()) == f"class TestIt(M):\n    {expected}\n"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("known_failures = KNOWN", "neither a tuple nor a list"),
        ("known_failures = (*KNOWN,)", "not every entry is written out"),
        ("known_failures = (KNOWN,)", "not every entry is written out"),
        ("model = 1", "not assigned in the class itself"),
        ("known_failures = ()", "has an entry 1, and the file 0"),
    ],
)
def test_what_cannot_be_edited_is_said_and_left(source, why):
    with pytest.raises(ConformanceError, match=f"known_failures of TestIt cannot be edited .*{why}.*by hand"):
        after(f"class TestIt(M):\n    {source}\n", _0=())
    with pytest.raises(ConformanceError, match="not at the top of the file"):
        edited(b"x = 1\n", {"TestIt": {0: ()}}, PATH)


def test_an_edit_names_its_lines_and_is_made_once(tmp_path):
    path = tmp_path / "test_it.py"
    path.write_text(SOURCE)
    path.chmod(0o600)
    wanted = edit(path, {"TestIt": {1: ()}})
    assert wanted.lines == (10, 11)
    assert f"{path}, lines 10 to 11 ('zoo expectations --update' makes this edit):" in str(wanted)
    assert "-        KnownFailure(\"b\", stage='run'),  # of the second\n" in wanted.diff
    wanted.make()
    assert path.read_bytes() == wanted.after
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["test_it.py"]
    with pytest.raises(ConformanceError, match="was changed meanwhile"):
        wanted.make()
