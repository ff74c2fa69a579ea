"""``Acceleration``: functions of upstream that are replaced while a program is lowered (``exporters.workarounds.replaced``)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Acceleration:
    """One way to the same bytes with less work."""

    name: str
    checked_on: Mapping[str, tuple[str, ...]]
    """Package: the versions on which the bytes were compared. On any other version it is not applied."""
    apply: Callable[[], contextlib.AbstractContextManager[None]]
    """Applies it inside a ``with`` block."""
    reason: str
    """What it skips or reuses, and why the result cannot change."""

    def unchecked(self) -> dict[str, str]:
        """Package and installed version where the bytes have not been compared; empty if it may be applied."""
        installed = {package: _version(package) for package in self.checked_on}
        return {package: version for package, version in installed.items() if version not in self.checked_on[package]}


def _version(package: str) -> str:
    """The installed version, without the build's label (``2.13.0+cpu`` is 2.13.0)."""
    return importlib.metadata.version(package).split("+")[0]


def acceleration(**checked_on: str) -> Callable[[Callable[[], Iterator[None]]], Acceleration]:
    """Make an ``Acceleration`` of a generator that applies it, yields once, and takes it back.

    Args:
        checked_on: Package and the versions it was checked on, separated by spaces.
    """

    def make(function: Callable[[], Iterator[None]]) -> Acceleration:
        reason = inspect.getdoc(function)
        if not reason:
            raise ValueError(f"{function.__name__} must say in its docstring why the bytes stay the same")
        versions = {package: tuple(named.split()) for package, named in checked_on.items()}
        return Acceleration(function.__name__, versions, contextlib.contextmanager(function), reason)

    return make
