"""Open outcomes, and how a failover settles them: by what the promoted primary has of each transaction.

A transaction whose COMMIT got no clear answer is in doubt until a witness says what became of it. The first
snapshot of a promoted primary is one. No transaction id is asked there, since ids begin again on a new
timeline; its rows tell: an image that the transaction wrote, and nobody else ever did, shows that it
committed; a row as it was before shows that it did not, unless somebody else may have changed it since.
What neither shows stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from harness.drive.bindings import RowName
from harness.drive.ports import Rows
from harness.model.history import Change, Done, Sent
from harness.model.schema import Table
from harness.model.values import Image, key_of, row_of, same, table_and_key, to_image

Settlement = Literal["acked", "refused"]
Snapshot = Mapping[str, Mapping[RowName, Image]]
"""By tenant, the rows found, by table and key."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that sent COMMIT. ``gone``: rows that a script's removed, by tenant.

    ``blanked``: columns that it set to NULL in rows where they were not. ``adopt``: what the application
    does when it learns that the transaction committed.
    """

    sent: Sent
    gone: Mapping[str, frozenset[RowName]] = {}
    blanked: Mapping[str, Mapping[RowName, tuple[str, ...]]] = {}
    adopt: Callable[[], None] | None = None

    @property
    def tenants(self) -> set[str]:
        """The tenants whose rows can tell what became of it."""
        own = set() if self.sent.tenant is None else {self.sent.tenant}
        marked = set(self.sent.sight.left) if self.sent.sight is not None else set()
        return own | marked


class Doubts:
    """All transactions of a drill whose outcome is not known."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._waiting: dict[str, Doubt] = {}
        self._open: dict[str, Doubt] = {}
        self._recalled: set[str] = set()
        self._asked: set[str] = set()
        self._committed: set[str] = set()
        self._rows: dict[str, set[RowName]] = {}
        self._overwritten: dict[str, set[RowName]] = {}
        self._scripts: list[Sent] = []

    def sent(self, doubt: Doubt) -> None:
        """Note that a COMMIT is being sent."""
        sent = doubt.sent
        rows = set(written(sent.changes, self._tables)).union(*doubt.blanked.values())
        for name in (*self._open, *self._waiting):
            if not rows.isdisjoint(self._rows[name]):
                self._overwritten.setdefault(name, set()).update(self._rows[name] & rows)
        self._waiting[sent.name], self._rows[sent.name] = doubt, rows
        if sent.actor == "script":
            self._scripts.append(sent)

    def done(self, done: Done) -> None:
        """Note an outcome."""
        doubt = self._waiting.pop(done.name, None)
        if doubt is not None and done.outcome == "unknown":
            self._open[done.name] = doubt
            return
        if doubt is not None and done.outcome == "refused":
            self._forget(doubt.sent)
        if done.outcome == "acked":
            self._commits(done.name)
        self._rows.pop(done.name, None)
        self._overwritten.pop(done.name, None)

    def recall(self, rows: Mapping[str, Rows]) -> None:
        """Let the application go on with rows of transactions that these rows show to have committed.

        The outcome stays open: the cluster that has such a row may yet be lost before its standby has it.
        """
        snapshot = _indexed(rows, self._tables)
        for name, doubt in self._open.items():
            new = doubt.sent.tenant in snapshot and name not in self._recalled
            if new and doubt.adopt is not None and self._of_own(doubt, snapshot) == "acked":
                self._recalled.add(name)
                doubt.adopt()

    def removing(self, tenant: str) -> dict[str, frozenset[RowName]]:
        """Return, by name, the rows that transactions of a tenant removed whose outcome is not known.

        ``committed`` says later what became of these.
        """
        pending = {**self._waiting, **self._open}.items()
        found = {
            name: frozenset(
                r for r, image in written(doubt.sent.changes, self._tables).items() if not image
            )
            for name, doubt in pending
            if doubt.sent.tenant == tenant
        }
        self._asked.update(found)
        return found

    def committed(self, name: str) -> bool:
        """Whether one of those that were asked for is known by now to have committed."""
        return name in self._committed

    def _commits(self, name: str) -> None:
        if name in self._asked:
            self._committed.add(name)

    @property
    def tenants(self) -> list[str]:
        """Whose rows the snapshot must hold."""
        return sorted({tenant for doubt in self._open.values() for tenant in doubt.tenants})

    def settle(self, rows: Mapping[str, Rows]) -> dict[str, Settlement]:
        """Return what the snapshot says of each open transaction; those it says nothing of stay open.

        Scripts come first: what one of them removed is no evidence against others.
        """
        snapshot = _indexed(rows, self._tables)
        settled: dict[str, Settlement] = {}
        for name, doubt in sorted(self._open.items(), key=lambda item: item[1].sent.actor != "script"):
            said = self._of_script(doubt, snapshot) if doubt.sent.sight else self._of_own(doubt, snapshot)
            if said is None:
                continue
            settled[name] = said
            if said == "refused":
                self._forget(doubt.sent)
                continue
            self._commits(name)
            if doubt.adopt is not None and name not in self._recalled:
                doubt.adopt()
        for name in settled:
            del self._open[name], self._rows[name]
        return settled

    def _forget(self, sent: Sent) -> None:
        self._scripts = [script for script in self._scripts if script is not sent]

    def _of_own(self, doubt: Doubt, snapshot: Snapshot) -> Settlement | None:
        sent = doubt.sent
        found = snapshot.get(sent.tenant or "", {})
        images = written(sent.changes, self._tables)
        if any(image is not None and same(found.get(row), image) for row, image in images.items()):
            return "acked"
        hit = any(sent.tenant in _touched(s) and s.at_s >= sent.begun_s for s in self._scripts)
        if hit:
            return None
        told = [row for row in images if row not in self._overwritten.get(sent.name, ())]
        if any(images[row] is not None or row in found for row in told):
            return "refused"
        return "acked" if told else None

    def _of_script(self, doubt: Doubt, snapshot: Snapshot) -> Settlement | None:
        marked = written(doubt.sent.changes, self._tables)
        hidden = self._overwritten.get(doubt.sent.name, set())
        everything = {row: image for found in snapshot.values() for row, image in found.items()}
        seen = [same(everything.get(row), image) for row, image in marked.items() if row not in hidden]
        for tenant, rows in doubt.gone.items():
            seen += [row not in snapshot.get(tenant, {}) for row in rows]
        for tenant, blanked in doubt.blanked.items():
            found = snapshot.get(tenant, {})
            told = blanked.keys() & found.keys() - hidden
            seen += [_blank(found[row], blanked[row]) for row in told]
        if not seen:
            return None
        return "acked" if all(seen) else "refused"


def written(changes: Iterable[Change], tables: Mapping[str, Table]) -> dict[RowName, Image | None]:
    """Return the last state that ``changes`` gave each row of an owned table, None where it is gone."""
    rows: dict[RowName, Image | None] = {}
    for change in changes:
        name, key = table_and_key(change.key)
        table = tables.get(name)
        if table is None or not table.owned:
            continue
        if change.was is not None:
            rows[table_and_key(change.was)] = None
        rows[name, key] = change.row or None
    return rows


def _blank(image: Image, columns: Iterable[str]) -> bool:
    cells = row_of(image)
    return all(cells.get(column) is None for column in columns)


def _touched(script: Sent) -> set[str]:
    return set(script.sight.left) if script.sight is not None else set()


def _indexed(rows: Mapping[str, Rows], tables: Mapping[str, Table]) -> Snapshot:
    return {
        tenant: {
            (table, key_of(row, tables[table].key)): to_image(row)
            for table, of in found.items()
            for row in of
        }
        for tenant, found in rows.items()
    }
