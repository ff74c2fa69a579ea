"""The workflows call commands that there are, with options that there are, and keep to what keeps them safe."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from conformance.cli import app

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
FILES = [pytest.param(path, id=str(path.relative_to(ROOT / ".github"))) for path in (*WORKFLOWS, *ACTIONS)]
WORDS = {"then", "else", "do", "!", "time"}


def load(path):
    return yaml.safe_load(path.read_text())


def jobs(path):
    return load(path).get("jobs", {}).items()


def steps(path):
    document = load(path)
    found = list(document.get("runs", {}).get("steps", ()))
    return found + [step for job in document.get("jobs", {}).values() for step in job.get("steps", ())]


def commands(script):
    """The simple commands of a shell script, as lists of words. An expression or a variable is the word ``1``."""
    script = re.sub(r"\$\{\{.*?\}\}", "1", script).replace("\\\n", " ")
    script = re.sub(r"\$\(", " ; ", script)
    script = re.sub(r"\$\{[^}]*\}|\$[A-Za-z_]+|\$[?#0-9]", "1", script)
    for line in script.split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|(){}<>")
        words: list[str] = []
        redirected = False
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|(){}"):
                if words:
                    yield words
                words = []
            elif set(word) <= set("<>"):
                redirected = True
            elif redirected:
                redirected = False
            elif words or word not in WORDS:
                words.append(word)


def check_zoo(words):
    """Parse a ``zoo`` command as the command itself does, without running it."""
    group = typer.main.get_command(app)
    with group.make_context("zoo", words[1:]) as context:
        name, command, rest = group.resolve_command(context, words[1:])
        command.make_context(name, rest, parent=context).close()


def zoo_commands():
    return [
        pytest.param(words, id=f"{path.stem}: {shlex.join(words)}")
        for path in (*WORKFLOWS, *ACTIONS)
        for step in steps(path)
        for words in commands(step.get("run", ""))
        if words[0] == "zoo"
    ]


def test_there_are_the_three_workflows_and_they_run_the_zoo():
    assert {path.stem for path in WORKFLOWS} >= {"pull-request", "scheduled", "dependency-bump"}
    used = {param.values[0][1] for param in zoo_commands()}
    assert {"run", "merge", "changed", "export-records", "report", "gate", "diff"} <= used


@pytest.mark.parametrize("words", zoo_commands())
def test_a_workflow_calls_the_command_as_it_is(words):
    check_zoo(words)


@pytest.mark.parametrize(
    "line",
    [
        "zoo rn --shard 1/2",
        "zoo run --shards 1/2",
        "zoo run --jobs many",
        "zoo merge a b",
        "zoo export-records --ctrf",
        "zoo changed main",
        "cd x && zoo changed --from main",
        'n=$(zoo changed --bse "$BASE")',
        "if true; then zoo run -x; fi",
        "echo a | zoo runs",
    ],
)
def test_a_line_that_has_rotted_is_found(line):
    found = [words for words in commands(line) if words[0] == "zoo"]
    assert len(found) == 1
    with pytest.raises(Exception, match=r"No such|Missing|valid integer|requires an argument|unexpected extra|Field required"):
        check_zoo(found[0])


def test_commands_are_found_wherever_a_script_has_them():
    script = """
        # zoo no
        zoo a \\
          --b "$C" || test $? -eq 1  # zoo no
        zoo d '# ;' | tee -a "$FILE"; if x; then zoo e >> out; fi
        x=$(zoo f ${{ g }})
        echo zoo no
    """
    found = [words for words in commands(script) if words[0] == "zoo"]
    assert found == [["zoo", "a", "--b", "1"], ["zoo", "d", "# ;"], ["zoo", "e"], ["zoo", "f", "1"]]


@pytest.mark.parametrize("path", FILES)
def test_actions_are_pinned_and_known_to_exist(path):
    for step in steps(path):
        used = step.get("uses")
        if used is None:
            continue
        if used.startswith("./"):
            assert (ROOT / used / "action.yml").is_file()
            given = set(step.get("with", {}))
            assert given <= set(load(ROOT / used / "action.yml").get("inputs", {})), used
        else:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", used), f"{used}: pin a major version of an action of GitHub's own"


@pytest.mark.parametrize("path", FILES)
def test_nothing_from_outside_is_pasted_into_a_script(path):
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "hand it over in env"


@pytest.mark.parametrize("path", [param for param in FILES if param.values[0] in WORKFLOWS])
def test_workflows_have_least_permissions_limits_and_one_run_at_a_time(path):
    document = load(path)
    assert document["permissions"] == {"contents": "read"}
    assert document["concurrency"]["group"]
    assert document["defaults"]["run"]["shell"] == "bash"  # it has pipefail: 'zoo gate | tee' fails as 'zoo gate' does
    assert "pull_request_target" not in document[True]  # YAML 1.1 reads 'on' as true
    for name, job in document["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 360, name
        assert set(job.get("permissions", {})) <= {"pages", "id-token", "issues"}, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
