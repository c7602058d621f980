"""The errors of Restoreproof: one tree, each with the offending value and the cure.

    RestoreproofError            message, and ``cure``: what the reader can do about it
    ├── BadInput                 a plan, configuration, schema or environment is wrong    exit 64
    │   ├── UnknownName          a name that no registry holds, with the known ones
    │   ├── MissingProgram       a program of the stack that is not installed
    │   └── LintRefused          a schema that can't be carried, with the SQL that cures it
    ├── HarnessFailed            the harness itself could not go on                       exit 70
    │   ├── TimedOut             a fact that did not become true within its limit
    │   └── ServiceDied          a service of the stack that ended by itself
    └── SubjectFailed            the backup system under test refused or failed
        ├── ArchiverStopped      the archiver stopped, with its reason
        ├── ArchiveBroken        an object, hash, chain or retention is not as it must be
        └── RestoreRefused       a restore that was refused, with what stands in its way
            └── NotWhole         since a row would refer to one that is missing

``SubjectFailed`` never ends a drill: it is recorded, and judged.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_PROVEN = 0
EXIT_BROKEN = 1
EXIT_UNKNOWN = 2
EXIT_BAD_INPUT = 64
EXIT_HARNESS_FAILED = 70


class RestoreproofError(Exception):
    """Base of all: ``message`` says what was found, ``cure`` what to do, ``exit_code`` how to end."""

    exit_code: ClassVar[int] = EXIT_HARNESS_FAILED

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  cure: {self.cure}" if self.cure else self.message


class BadInput(RestoreproofError):
    """Something that the user gave is wrong; nothing was started, nothing was lost."""

    exit_code = EXIT_BAD_INPUT


class UnknownName(BadInput):
    """A ``name`` of some ``kind`` (step, profile, schema, ...) that is not among ``known``."""

    def __init__(self, kind: str, name: object, known: list[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}", cure=f"use one of: {', '.join(sorted(known))}")
        self.kind, self.name, self.known = kind, name, known


class MissingProgram(BadInput):
    """A program of the stack is not in the cache."""


class LintRefused(BadInput):
    """A schema that the backup system can't carry; ``cure`` holds the SQL that mends it."""


class HarnessFailed(RestoreproofError):
    """The harness could not go on; the verdict is unknown and the run folder is kept."""

    exit_code = EXIT_HARNESS_FAILED


class TimedOut(HarnessFailed):
    """``fact`` did not become true within ``spent_s`` seconds; ``last_seen`` was seen last."""

    def __init__(self, fact: str, spent_s: float, last_seen: object, *, cure: str = "") -> None:
        super().__init__(f"waited {spent_s:.1f} s for: {fact}; last seen: {last_seen}", cure=cure)
        self.fact, self.spent_s, self.last_seen = fact, spent_s, last_seen


class ServiceDied(HarnessFailed):
    """A service of the stack ended without being told to."""


class SubjectFailed(RestoreproofError):
    """The backup system under test failed or refused; recorded and judged, never swallowed."""


class ArchiverStopped(SubjectFailed):
    """The archiver stopped rather than pass something unseen; the message is its reason."""


class ArchiveBroken(SubjectFailed):
    """Something in the archive is not what its manifest says."""


class RestoreRefused(SubjectFailed):
    """A restore refused to run; the message names what stands in its way."""


class NotWhole(RestoreRefused):
    """A restored row would refer to one that is missing: the archive does not hold all there was."""
