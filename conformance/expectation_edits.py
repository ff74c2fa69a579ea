"""Edits of test files that known failures ask for: an entry goes when what it lists passes.

What is not about the entry stays as it was written, to the byte: libcst keeps every space and comment.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance import files
from conformance.errors import ConformanceError
from conformance.expectations import Standing, standing
from conformance.record import Record

if TYPE_CHECKING:
    import libcst

    from conformance.suite import ModelConformance

Changes = Mapping[str, Mapping[int, Sequence[str]]]
"""By class, by number of an entry in its ``known_failures``: the configurations that the entry is to be of; none removes it."""


@dataclass(frozen=True)
class Edit:
    """A test file before and after."""

    path: Path
    before: bytes
    after: bytes

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        before, after = (side.decode("utf-8").splitlines(keepends=True) for side in (self.before, self.after))
        name = self.path.as_posix()
        lines = difflib.unified_diff(before, after, name, name)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    @property
    def lines(self) -> tuple[int, int]:
        """The first and the last line that change, as they are numbered before."""
        before, after = (side.decode("utf-8").splitlines() for side in (self.before, self.after))
        matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
        changed = [span for span in matcher.get_opcodes() if span[0] != "equal"]
        return changed[0][1] + 1, max(changed[-1][2], changed[-1][1] + 1)

    def __str__(self) -> str:
        first, last = self.lines
        return f"{self.path.as_posix()}, lines {first} to {last} ('zoo expectations --update' makes this edit):\n{self.diff}"

    def make(self) -> None:
        """Write the file, at once.

        Raises:
            ConformanceError: it was changed meanwhile.
        """
        if self.path.read_bytes() != self.before:
            raise ConformanceError(f"{self.path} was changed meanwhile; try again.")
        files.replace(self.path, self.after)


def standings(
    suites: Iterable[type[ModelConformance]], records: Iterable[Record]
) -> dict[type[ModelConformance], list[Standing]]:
    """The states of the entries of test classes, against records of all their models."""
    by_model: dict[str, list[Record]] = {}
    for record in records:
        by_model.setdefault(record.model, []).append(record)
    return {suite: [standing(entry, by_model.get(suite.model.name, ())) for entry in suite.known_failures] for suite in suites}


def changes(standings: Mapping[type[ModelConformance], Sequence[Standing]]) -> Changes:
    """What the states of entries ask for. An entry of which nothing fails any more goes; one that holds for some of its
    configurations becomes an entry for each of these."""
    found = {
        suite.__name__: {index: each.failing for index, each in enumerate(states) if each.state == "fixed"}
        for suite, states in standings.items()
    }
    return {name: entries for name, entries in found.items() if entries}


def suggestion(path: Path, suites: Iterable[type[ModelConformance]], records: Iterable[Record]) -> str:
    """The edit of a test file that records ask for, in words and as a diff; or why it has to be made by hand."""
    try:
        asked = changes(standings(suites, records))
        return str(edit(path, asked)) if asked else ""
    except (ConformanceError, OSError) as error:
        return str(error)


def edit(path: Path, asked: Changes) -> Edit:
    """The edit of a test file.

    Raises:
        ConformanceError: ``known_failures`` is written in a way that this cannot edit.
    """
    before = path.read_bytes()
    return Edit(path, before, edited(before, asked, path))


def edited(source: bytes, asked: Changes, path: Path) -> bytes:
    """The text of a test file without, or with narrower, entries; ``path`` names it in errors.

    Raises:
        ConformanceError: ``known_failures`` is not a tuple or a list of calls in the class itself.
    """
    import libcst

    module = libcst.parse_module(source)
    left = dict(asked)
    body: list[Any] = []
    for statement in module.body:
        if isinstance(statement, libcst.ClassDef) and statement.name.value in left:
            statement = _class(statement, left.pop(statement.name.value), path)
        body.append(statement)
    if left:
        raise _by_hand(path, next(iter(left)), "the class is not at the top of the file")
    return _without_unused_import(module.with_changes(body=body)).bytes


def _by_hand(path: Path, name: str, why: str) -> ConformanceError:
    return ConformanceError(f"{path}: the known_failures of {name} cannot be edited ({why}); edit them by hand.")


def _class(definition: libcst.ClassDef, wanted: Mapping[int, Sequence[str]], path: Path) -> libcst.ClassDef:
    """A class with other ``known_failures``; without them once they are empty."""
    import libcst

    body: list[Any] = []
    found = False
    for statement in definition.body.body:
        small: Sequence[Any] = statement.body if isinstance(statement, libcst.SimpleStatementLine) else ()
        kept = []
        for each in small:
            if not _assigns(each):
                kept.append(each)
                continue
            found = True
            value = _entries(each.value, wanted, lambda why: _by_hand(path, definition.name.value, why))
            if value is not None:
                kept.append(each.with_changes(value=value))
        if len(kept) == len(small):
            body.append(statement if not small else statement.with_changes(body=kept))
        elif kept:
            last = kept[-1].with_changes(semicolon=libcst.MaybeSentinel.DEFAULT)
            body.append(statement.with_changes(body=[*kept[:-1], last]))
    if not found:
        raise _by_hand(path, definition.name.value, "they are not assigned in the class itself")
    if not body:
        body.append(libcst.SimpleStatementLine([libcst.Pass()]))
    return definition.with_changes(body=definition.body.with_changes(body=body))


def _assigns(statement: Any) -> bool:
    """Whether a statement is ``known_failures = ...``, with or without a type."""
    import libcst

    if isinstance(statement, libcst.AnnAssign):
        return isinstance(statement.target, libcst.Name) and statement.target.value == "known_failures"
    if not isinstance(statement, libcst.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0].target
    return isinstance(target, libcst.Name) and target.value == "known_failures"


def _entries(value: Any, wanted: Mapping[int, Sequence[str]], by_hand: Callable[[str], ConformanceError]) -> Any:
    """The tuple or list of entries after the edit; ``None`` once it is empty."""
    import libcst

    if not isinstance(value, (libcst.Tuple, libcst.List)):
        raise by_hand("they are neither a tuple nor a list")
    elements = list(value.elements)
    if any(not isinstance(element, libcst.Element) or not isinstance(element.value, libcst.Call) for element in elements):
        raise by_hand("not every entry is written out as KnownFailure(...)")
    if max(wanted) >= len(elements):
        raise by_hand(f"the class has an entry {max(wanted) + 1}, and the file {len(elements)}")
    gaps = _gaps(value)
    several = isinstance(gaps[0], libcst.ParenthesizedWhitespace)
    entries: list[Any] = []
    spaces = [gaps[0]]  # before the first entry, between them, and after the last one
    for index, element in enumerate(elements):
        names = wanted.get(index)
        if names is None:
            entries.append(element)
            spaces.append(gaps[index + 1])
        elif not names:
            spaces[-1] = _joined(spaces[-1], gaps[index + 1], first=not entries)
        else:
            entries += [_narrowed(element, name, by_hand) for name in names]
            between = _line_end(gaps[0]) if several else libcst.SimpleWhitespace(" ")
            spaces += [between] * (len(names) - 1) + [gaps[index + 1]]
    return _rebuilt(value, entries, spaces) if entries else None


def _gaps(value: Any) -> list[Any]:
    """The space before the first entry, after the comma of each but the last, and after the last one."""
    import libcst

    nothing = libcst.SimpleWhitespace("")
    between = [element.comma.whitespace_after for element in value.elements[:-1]]
    if isinstance(value, libcst.List):
        return [value.lbracket.whitespace_after, *between, value.rbracket.whitespace_before]
    opening, closing = (value.lpar[0].whitespace_after, value.rpar[0].whitespace_before) if value.lpar else (nothing, nothing)
    return [opening, *between, closing]


def _rebuilt(value: Any, entries: Sequence[Any], spaces: Sequence[Any]) -> Any:
    """A tuple or list of other entries, with a comma after the last one where there was one or has to be."""
    import libcst

    last = isinstance(value.elements[-1].comma, libcst.Comma) or (isinstance(value, libcst.Tuple) and len(entries) == 1)
    commas = [libcst.Comma(whitespace_after=space) for space in spaces[1:-1]]
    commas.append(libcst.Comma() if last else libcst.MaybeSentinel.DEFAULT)  # type: ignore[arg-type]
    elements = [entry.with_changes(comma=comma) for entry, comma in zip(entries, commas, strict=True)]
    if isinstance(value, libcst.List):
        opened = value.lbracket.with_changes(whitespace_after=spaces[0])
        closed = value.rbracket.with_changes(whitespace_before=spaces[-1])
        return value.with_changes(elements=elements, lbracket=opened, rbracket=closed)
    if not value.lpar:
        return value.with_changes(elements=elements)
    opened = value.lpar[0].with_changes(whitespace_after=spaces[0])
    closed = value.rpar[0].with_changes(whitespace_before=spaces[-1])
    return value.with_changes(elements=elements, lpar=[opened, *value.lpar[1:]], rpar=[closed, *value.rpar[1:]])


def _joined(before: Any, after: Any, *, first: bool) -> Any:
    """One space in the place of an entry (the first one, or not) and the two around it.

    The comments above the entry and behind it go with it; what stands behind the entry before it, and above the one after it,
    stays.
    """
    import libcst

    lines = [isinstance(space, libcst.ParenthesizedWhitespace) for space in (before, after)]
    if all(lines):
        return after.with_changes(first_line=before.first_line)
    if lines[0]:
        return before.with_changes(empty_lines=[]) if before.first_line.comment else after
    if lines[1]:
        return _line_end(after)
    return before if first else after


def _line_end(space: Any) -> Any:
    """A line's end without comments, indented as before."""
    import libcst

    return space.with_changes(first_line=libcst.TrailingWhitespace(), empty_lines=[])


def _narrowed(element: Any, configuration: str, by_hand: Callable[[str], ConformanceError]) -> Any:
    """An entry for one configuration."""
    import libcst

    arguments = list(element.value.args)
    place = next((n for n, each in enumerate(arguments) if each.keyword and each.keyword.value == "configuration"), 0)
    if not isinstance(arguments[place].value, libcst.SimpleString):
        raise by_hand("the configuration of an entry is not a plain string")
    quote = arguments[place].value.quote
    arguments[place] = arguments[place].with_changes(value=libcst.SimpleString(f"{quote}{configuration}{quote}"))
    return element.with_changes(value=element.value.with_changes(args=arguments))


def _without_unused_import(module: libcst.Module) -> libcst.Module:
    """A module without imports of ``KnownFailure`` that nothing uses."""
    import libcst
    from libcst.codemod import CodemodContext
    from libcst.codemod.visitors import RemoveImportsVisitor

    context = CodemodContext()
    for line in module.body:
        for statement in line.body if isinstance(line, libcst.SimpleStatementLine) else ():
            if not isinstance(statement, libcst.ImportFrom) or isinstance(statement.names, libcst.ImportStar):
                continue
            source = libcst.helpers.get_full_name_for_node(statement.module) if statement.module else None
            for name in statement.names:
                if source and name.evaluated_name == "KnownFailure":
                    RemoveImportsVisitor.remove_unused_import(context, source, "KnownFailure", name.evaluated_alias)
    return RemoveImportsVisitor(context).transform_module(module)


__all__ = ["Changes", "Edit", "changes", "edit", "edited", "standings", "suggestion"]
