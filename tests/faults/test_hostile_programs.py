"""Five hundred damaged programs through ``zoo generate``: what has a checksum is refused, and nothing ends the command.

Every thirteenth of them takes half a minute, all take a few: ``pytest tests/faults/test_hostile_programs.py --tier nightly``,
which prints the table in docs/verdicts.md.
"""

import collections
import contextlib
import dataclasses
import json
import os
import re
import shutil
import struct
import subprocess
import sys

import psutil
import pytest

from conformance import cli, worker
from conformance.artifacts import cached_export
from conformance.sessions.program import account_beside, check_file
from conformance.sessions.protocol import SessionError
from exporters import ExportConfig
from exporters.artifact import ACCOUNT, Artifact
from tests.faults.damage import KINDS, Mutant, Sound, zoo
from zoo import checkpoints, registry

PROGRAMS = (("smollm2-135m", "xnnpack-fp32"), ("gemma3-270m", "portable-fp32"))
"""With XNNPACK's delegates, and without any."""
EACH = 250
SAMPLE = 13
"""One in so many at other tiers than nightly; 21 kinds of damage are still each met."""
SECONDS = 120
"""No run takes a hundredth of it on an idle machine."""
CODES = (0, 2)
BY_THE_RUNTIME = re.compile(r": (open|load|forward|get_\w+|reading its methods) failed: ")
OUTCOMES = ("refused by zoo's checks", "refused by the runtime", "the runtime died", "ended at a limit")
ANSWERED = ("answered as the sound program does", "answered otherwise")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A program that is damaged, and what it is asked."""

    sound: Sound
    artifact: Artifact
    tokenizer: str
    prompt: str

    def ask(self, program):
        """The arguments of the command."""
        given = ("--prompt", self.prompt, "--tokenizer", self.tokenizer, "--max-new-tokens", "24")
        return ["generate", os.fspath(program), *given, "--timeout", str(SECONDS), "--memory", "3"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """How the command ended."""

    code: int | None
    out: str
    err: str
    left: frozenset[str]
    """Files and processes that are still there, and were not before."""

    def outcome(self, sound):
        """What became of a damaged program, in a word."""
        if self.code == 0:
            return ANSWERED[self.out != sound.out]
        died = re.search(r"the runtime died of (SIG\w+)", self.err)
        if died:
            return f"{OUTCOMES[2]}: {died[1]}"
        if "--timeout and --memory set the limits" in self.err:
            return OUTCOMES[3]
        return OUTCOMES[bool(BY_THE_RUNTIME.search(self.err))]

    def wrong(self):
        """What a command must not do, whatever it is given."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return {
            "a code that is not documented": self.code not in CODES,
            "a traceback": "Traceback" in self.err,
            "more than a line": len(lines) != 1,
            "no error": self.code != 0 and not self.err.startswith("error: "),
            "something is left": bool(self.left),
        }


@pytest.fixture(scope="module")
def subjects():
    found = []
    for name, configuration in PROGRAMS:
        row = registry.get(name)
        checkpoint = checkpoints.resolve(row)
        config = ExportConfig.from_id(configuration, max_seq_len=row.twin.max_seq_len)
        artifact = cached_export(checkpoint, config, task=row.task)[0]
        sound = Sound.read(f"{name}@{configuration}", artifact.program)
        found.append(Subject(sound, artifact, os.fspath(checkpoint), row.reference_prompts[0].text))
    return found


def mutants(subject, step=1):
    return [Mutant(subject.sound, number) for number in range(0, EACH, step)]


def asked(subject, place, data):
    """The command about a program without an account, from a process that has the stack imported."""
    program = place / "here" / "model.pte"
    program.parent.mkdir(exist_ok=True)
    program.write_bytes(data)
    child = worker._context().Process(target=zoo, args=(program.parent, place, subject.ask(program)))
    child.start()
    child.join(2 * SECONDS)
    code = child.exitcode
    child.kill()
    child.join()
    left = {path.name for path in program.parent.iterdir()} - {program.name}
    left |= {f"process {each.pid}" for each in psutil.process_iter() if _session(each) == child.pid}
    out, err = ((place / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
    return Answer(code, out, err, frozenset(left))


def _session(process):
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def test_there_are_five_hundred_of_each_kind_and_none_is_sound(subjects):
    every = [mutant for subject in subjects for mutant in mutants(subject)]
    assert len(every) == 500
    assert {mutant.kind for mutant in every} == set(KINDS)
    assert {mutant.kind for subject in subjects for mutant in mutants(subject, SAMPLE)} == set(KINDS)
    assert all(mutant.data != mutant.sound.data for mutant in every)
    again = Mutant(subjects[0].sound, 77)
    assert again.data == mutants(subjects[0])[77].data


@pytest.mark.parametrize("index", range(len(PROGRAMS)), ids=["@".join(each) for each in PROGRAMS])
def test_a_damaged_program_with_a_checksum_is_refused(subjects, tmp_path, capsys, monkeypatch, index):
    subject = subjects[index]
    shutil.copy(subject.artifact.directory / ACCOUNT, tmp_path)
    program = tmp_path / subject.artifact.program.name
    monkeypatch.setattr("conformance.sessions.program.set_threads", lambda _: pytest.fail("it was given to the runtime"))
    accepted = []
    for mutant in mutants(subject):
        program.write_bytes(mutant.data)
        with contextlib.suppress(SessionError):
            check_file(program, subject.artifact.account.file)
            accepted.append(mutant.name)
    assert not accepted
    for mutant in mutants(subject, SAMPLE):
        program.write_bytes(mutant.data)
        with pytest.raises(SystemExit) as ended:
            cli.main(subject.ask(program))
        told = capsys.readouterr()
        assert (ended.value.code, told.out) == (2, "")
        assert re.fullmatch(r"error: .*(truncated or replaced|the file was altered)[^\n]*\n", told.err), told.err


def test_a_damaged_program_without_one_does_not_end_the_command(subjects, tmp_path, capsys, request):
    step = 1 if request.config.getoption("--tier") == "nightly" else SAMPLE
    outcomes, wrong = {}, {}
    for subject in subjects:
        sound = asked(subject, tmp_path, subject.sound.data)
        assert (sound.code, sound.left) == (0, frozenset())
        assert sound.out.startswith(" Most seals are curious")
        counts = outcomes[subject.sound.name] = collections.Counter()
        for mutant in mutants(subject, step):
            answer = asked(subject, tmp_path, mutant.data)
            counts[answer.outcome(sound)] += 1
            if any(answer.wrong().values()):
                wrong[mutant.name] = ([what for what, is_so in answer.wrong().items() if is_so], answer)
    with capsys.disabled():
        print("", *table(outcomes), sep="\n")
    assert not wrong
    total = sum(outcomes.values(), collections.Counter())
    assert total.total() == sum(len(mutants(subject, step)) for subject in subjects)
    assert total[OUTCOMES[0]]
    assert total[OUTCOMES[1]]
    assert total[ANSWERED[1]]  # which is why there are checksums


def table(outcomes):
    """The counts by program, as docs/verdicts.md shows them."""
    total = sum(outcomes.values(), collections.Counter())
    yield " | ".join(["outcome", *outcomes, "both"])
    for outcome in sorted(total, key=lambda each: -total[each]):
        yield " | ".join([outcome, *(str(counts[outcome]) for counts in outcomes.values()), str(total[outcome])])


def test_logits_that_are_no_numbers_are_no_answer(subjects, tmp_path):
    sound = subjects[1].sound
    ((start, size),) = sound.spans("constants")
    nothing = struct.pack("<f", float("nan")) * (size // 4)
    answer = asked(subjects[1], tmp_path, sound.data[:start] + nothing + sound.data[start + len(nothing) :])
    assert (answer.code, answer.out) == (2, "")
    assert "the best logits of token 1 are no finite numbers" in answer.err


def out_of_range(sound):
    """A program whose first kernel is none: executorch 1.4.1 says so, and dies of SIGSEGV."""
    at = next(place.offset for place in sound.places["number"] if place.name == "KernelCall.op_index")
    return sound.data[:at] + struct.pack("<i", 2**31 - 1) + sound.data[at + 4 :]


def command(*arguments):
    """The command itself, as a shell starts it."""
    code = "from conformance.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=600, check=False)


def test_the_command_itself_outlives_a_program_that_ends_the_runtime(subjects, tmp_path):
    subject = subjects[0]
    program = tmp_path / "model.pte"
    program.write_bytes(out_of_range(subject.sound))
    done = command(*subject.ask(program))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: .*model\.pte: the runtime died of SIG[^\n]* 'zoo inspect [^\n]*\n", done.stderr)
    assert list(tmp_path.iterdir()) == [program]


def test_the_command_itself_answers_with_a_sound_program(subjects, tmp_path):
    program = tmp_path / "model.pte"
    program.write_bytes(subjects[0].sound.data)
    done = command(*subjects[0].ask(program))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" Most seals are curious")


@pytest.mark.parametrize("number", [0, 3, 13, 15], ids=lambda number: list(KINDS)[number])
def test_the_command_itself_ends_as_from_the_fork_server(request, subjects, tmp_path, number):
    subject, mutant = subjects[1], Mutant(subjects[1].sound, number)
    answer = asked(subject, tmp_path, mutant.data)
    if request.config.getoption("--tier") == "nightly":  # a start of it takes seconds
        done = command(*subject.ask(tmp_path / "here" / "model.pte"))
        assert (done.returncode, done.stdout) == (answer.code, answer.out)
        assert done.returncode == 0 or done.stderr == answer.err
    assert not any(answer.wrong().values()), answer


def test_a_program_that_was_swapped_for_another_valid_one_is_refused(subjects, tmp_path, capsys):
    one, other = subjects
    shutil.copy(one.artifact.directory / ACCOUNT, tmp_path)
    (tmp_path / "model.pte").write_bytes(other.sound.data)
    with pytest.raises(SystemExit) as ended:
        cli.main(one.ask(tmp_path))
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert "truncated or replaced" in told.err


def test_an_account_is_not_evaded_by_another_name_in_it(subjects, tmp_path, capsys):
    subject = subjects[0]
    account = json.loads((subject.artifact.directory / ACCOUNT).read_text(encoding="utf-8"))
    account["file"]["name"] = "other.pte"
    (tmp_path / ACCOUNT).write_text(json.dumps(account), encoding="utf-8")
    program = tmp_path / "model.pte"
    program.write_bytes(mutants(subject)[13].data)  # weights: nothing else than the checksum would tell
    with pytest.raises(SystemExit) as ended:
        cli.main(subject.ask(program))
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert "the file was altered" in told.err
    assert "speaks of other.pte, which is not there" in told.err
    # A program that was renamed keeps its account.
    program.write_bytes(subject.sound.data)
    assert account_beside(program).file.sha256 == subject.artifact.account.file.sha256
    # An account of another file, which is there, says nothing of this one.
    (tmp_path / "other.pte").write_bytes(subject.sound.data)
    assert account_beside(program) is None
