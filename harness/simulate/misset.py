"""Captures and brokers that are set or built wrongly, and harmless look-alikes.

Each is the simulated connector with one decision changed; where a real one has a setting for it, its
docstring names that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from harness.model.values import RawRow
from harness.simulate.feed import Connector
from harness.simulate.server import Committed, Server, Written

DAYS_A_MONTH: Final = 365.25 / 12
HELD_EVERY: Final = 6


class Rewrites(Connector):
    """Changes what it tells of each row."""

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic, each row's images changed."""
        super().publish(
            [
                msgspec.structs.replace(one, written=tuple(map(self._rewritten, one.written)))
                for one in transactions
            ]
        )

    def rows(self) -> list[tuple[str, RawRow]]:
        """Return what a snapshot holds, changed in the same way."""
        tables = {table.name: table for table in self._server.built.schema.tables}
        return [
            (name, self.image(tables[name].name, row) if name in tables else row)
            for name, row in super().rows()
        ]

    def image(self, table: str, row: RawRow) -> RawRow:  # noqa: ARG002 - for those who change something
        """Return one image as it is told."""
        return row

    def types(self, table: str) -> dict[str, str]:
        """Return the type of each column of a table."""
        return {c.name: c.type for c in self._server.built.schema.table(table).columns}

    def _rewritten(self, one: Written) -> Written:
        name = one.table.name
        after = None if one.after is None else self.image(name, one.after)
        before = None if one.before is None else self.image(name, one.before)
        told = Written(table=one.table, op=one.op, before=before, after=after)
        told.told = one.told
        return told


class SendsDoubles(Rewrites):
    """Tells numerics as doubles, as ``decimal.handling.mode=double`` does (FM-65)."""

    def image(self, table: str, row: RawRow) -> RawRow:
        """Return the image with each numeric as the double next to it, and its scale gone."""
        types = self.types(table)
        return {
            name: _double(text) if _numeric(types.get(name, "")) else text for name, text in row.items()
        }


class LooksAtNumerics(SendsDoubles):
    """Near miss: works out the doubles too, and tells the numerics as they are."""

    def image(self, table: str, row: RawRow) -> RawRow:
        """Return the image as it is."""
        super().image(table, row)
        return row


class SendsMonthsAsDays(Rewrites):
    """Tells intervals as a length of time, as ``interval.handling.mode=numeric`` does (FM-63)."""

    def image(self, table: str, row: RawRow) -> RawRow:
        """Return the image with each interval's years and months as days."""
        types = self.types(table)
        return {
            name: _in_days(text) if types.get(name) == "interval" and text else text
            for name, text in row.items()
        }


class LooksAtIntervals(SendsMonthsAsDays):
    """Near miss: works out the lengths too, and tells the intervals as they are."""

    def image(self, table: str, row: RawRow) -> RawRow:
        """Return the image as it is."""
        super().image(table, row)
        return row


class NullsBecomeDefaults(Rewrites):
    """Tells what stands for nothing in place of NULL, as converters do that fill in defaults (FM-62)."""

    def image(self, table: str, row: RawRow) -> RawRow:
        """Return the image with an empty text for each NULL text."""
        types = self.types(table)
        return {
            name: "" if text is None and types.get(name) == "text" else text for name, text in row.items()
        }


class LooksAtNulls(NullsBecomeDefaults):
    """Near miss: knows what would stand for nothing, and tells NULL."""

    def image(self, table: str, row: RawRow) -> RawRow:
        """Return the image as it is."""
        super().image(table, row)
        return row


class LosesBatchAfterRestart(Connector):
    """After each restart the rest of the batch at which it was is skipped, without an error (FM-46)."""

    _restarted = False

    def resume(self, server: Server, *, again: int) -> None:
        """Go on, and not quite where it was."""
        super().resume(server, again=again)
        self._restarted = True

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic; after a restart only heartbeats of the first batch."""
        skips, self._restarted = self._restarted, False
        kept = [one for one in transactions if not skips or one.heartbeat is not None]
        if kept:
            super().publish(kept)


class DeliversOutOfOrder(Connector):
    """A topic of two partitions: now and then a transaction comes after the one that follows it (FM-78)."""

    _count = 0
    _held: tuple[Committed, ...] = ()

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic, one that was held back after those of this call."""
        held, self._held = self._held, ()
        rest = list(transactions)
        self._count += len(rest)
        if not held and self._count >= HELD_EVERY:
            self._count = 0
            self._held = (rest.pop(),)
        if rest or held:
            super().publish(self.ordered(held, rest))

    def ordered(self, held: Sequence[Committed], rest: Sequence[Committed]) -> list[Committed]:
        """Return what was held back and what came since, as it arrives."""
        return [*rest, *held]


class DeliversLate(DeliversOutOfOrder):
    """Near miss: holds transactions back as well, but none arrives before one that it follows."""

    def ordered(self, held: Sequence[Committed], rest: Sequence[Committed]) -> list[Committed]:
        """Return both in their order."""
        return [*held, *rest]


def _numeric(type_name: str) -> bool:
    return type_name.startswith("numeric")


def _double(text: str | None) -> str | None:
    return None if text is None else f"{float(text):g}"


def _in_days(text: str) -> str:
    """Return an interval's text with its years and months as days."""
    found = re.match(r"^(?:(-?\d+) years? ?)?(?:(-?\d+) mons? ?)?", text)
    months = 12 * int(found[1] or 0) + int(found[2] or 0) if found else 0
    rest = text[found.end() :] if found else text
    return text if not months else f"{round(months * DAYS_A_MONTH)} days {rest}".strip()
