"""A transaction is journalled before its COMMIT leaves and after it; only acknowledged ones bind rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fixtures.handmade import shop_plan
from harness import schemas
from harness.drive.bindings import Bindings
from harness.drive.journal import MemoryJournal
from harness.drive.performer import Performed, Performer, Where
from harness.drive.ports import Ack, Conflicted, ConnectionLost, Ready, Refused
from harness.drive.tally import Tally
from harness.model.history import AnyEntry, Change, Done, Sent, WriterSkipped
from harness.model.operations import Copy, CopyRow, Delete, Insert, Operation, Ref, Transaction, Update
from harness.model.schema import Table
from harness.model.values import RawRow, image_of, row_key
from harness.simulate.loop import VirtualClock, run

SHOP = schemas.load("shop").schema
MERCHANT, PURCHASE, LINE = SHOP.tables
ACKED = Ack(outcome="acked", lsn_upper=200)
TRIGGERED = Change(op="insert", key=row_key("shop.outbox", ("1",)), row=image_of({"id": "1"}))


class PlayedSession:
    """A session that answers as it is told: ``fails`` says at which call, and how; ``ack`` ends COMMIT."""

    def __init__(self, ack: Ack = ACKED, fails: Mapping[str, Exception] | None = None) -> None:
        self.calls: list[str] = []
        self._ack = ack
        self._fails = fails or {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self._fails:
            raise self._fails[name]

    async def begin(self, *, serializable: bool = False) -> None:
        self._call("begin serializable" if serializable else "begin")

    async def insert(self, table: Table, values: Mapping[str, str | None]) -> RawRow:
        self._call("insert")
        return {c.name: values.get(c.name) for c in table.columns}

    async def copy(
        self, table: Table, columns: Sequence[str], rows: Sequence[Sequence[str | None]]
    ) -> list[RawRow]:
        self._call(f"copy {table.name}")
        return [dict(zip(columns, row, strict=True)) for row in reversed(rows)]

    async def update(
        self, table: Table, key: Mapping[str, str], values: Mapping[str, str | None]
    ) -> RawRow | None:
        self._call(f"update {table.name}")
        return None if "gone" in key.values() else {**key, **values}

    async def delete(self, table: Table, key: Mapping[str, str]) -> bool:
        self._call(f"delete {table.name}")
        return "gone" not in key.values()

    async def ready(self) -> Ready:
        self._call("ready")
        return Ready(xid=7, lsn_lower=100, changes=(TRIGGERED,))

    async def commit(self) -> Ack:
        self._call("commit")
        return self._ack

    async def rollback(self) -> None:
        self._call("rollback")

    async def reset(self) -> None:
        self._call("reset")

    async def close(self) -> None:
        self._call("close")


def insert(handle: str, key: str) -> Insert:
    """Return the insertion of a purchase."""
    return Insert(table=PURCHASE.name, handle=handle, values={"id": key, "merchant": "acme"})


class Desk:
    """A performer with its journal and bindings."""

    def __init__(self) -> None:
        self.journal = MemoryJournal(VirtualClock())
        self.bindings = Bindings()
        where = Where(SHOP, self.journal, Tally(shop_plan()), VirtualClock())
        self.performer = Performer(where, "writer", "acme", self.bindings)

    def perform(
        self,
        *operations: Operation,
        session: PlayedSession | None = None,
        commit: bool = True,
        hold_s: float = 0.0,
        think_s: float = 0.0,
        serializable: bool = False,
    ) -> Performed:
        """Perform one transaction of these operations."""
        transaction = Transaction(
            name="t",
            operations=operations,
            commit=commit,
            hold_s=hold_s,
            think_s=think_s,
            serializable=serializable,
        )
        return run(self.performer.perform(session or PlayedSession(), transaction))

    @property
    def entries(self) -> list[AnyEntry]:
        """What was journalled."""
        return self.journal.entries


def test_sent_comes_before_done_with_everything_known() -> None:
    """Before COMMIT the journal has xid, bound, and all changes, those of triggers included."""
    desk = Desk()
    assert desk.perform(insert("p", "1")) == "acked"
    sent, done = desk.entries
    assert isinstance(sent, Sent)
    assert (sent.xid, sent.lsn_lower) == (7, 100)
    assert [(c.table, c.op) for c in sent.changes] == [(PURCHASE.name, "insert"), ("shop.outbox", "insert")]
    assert isinstance(done, Done)
    assert (done.outcome, done.lsn_upper) == ("acked", 200)


def test_what_is_held_open_asks_for_its_bounds_only_then() -> None:
    """What the journal has of a transaction is of just before its COMMIT, however long it was open."""
    desk = Desk()
    assert desk.perform(insert("p", "1"), hold_s=1.5) == "acked"
    sent, done = desk.entries
    assert isinstance(sent, Sent)
    assert (sent.begun_s, sent.at_s, done.at_s) == (0.0, 1.5, 1.5)


def test_a_client_thinks_between_operations() -> None:
    """Twice amid three, and neither before the first nor after the last."""
    desk = Desk()
    assert desk.perform(*(insert(f"p{n}", str(n)) for n in range(3)), think_s=0.5) == "acked"
    sent, done = desk.entries
    assert isinstance(sent, Sent)
    assert (sent.begun_s, sent.at_s, done.at_s) == (0.0, 1.0, 1.0)


def test_a_refused_statement_leaves_no_sent() -> None:
    """What failed before COMMIT is refused, says why, and binds nothing; the session is usable again."""
    desk, session = Desk(), PlayedSession(fails={"ready": Refused("no room")})
    assert desk.perform(insert("p", "1"), session=session) == "refused"
    (done,) = desk.entries
    assert isinstance(done, Done)
    assert (done.outcome, done.detail) == ("refused", "no room")
    assert session.calls[-1] == "reset"
    assert desk.bindings.get("p") is None


def test_a_serializable_one_that_conflicts_may_be_tried_again() -> None:
    """Whether a statement says so or COMMIT: it is journalled as refused, and nothing of it is known."""
    at_commit = Ack(outcome="refused", detail="40001", conflicted=True)
    for session in (PlayedSession(fails={"ready": Conflicted("40001")}), PlayedSession(at_commit)):
        for serializable, performed in ((True, "conflicted"), (False, "refused")):
            desk = Desk()
            assert desk.perform(insert("p", "1"), session=session, serializable=serializable) == performed
            done = desk.entries[-1]
            assert isinstance(done, Done)
            assert (done.outcome, done.conflicted, done.detail) == ("refused", True, "40001")
            assert desk.bindings.get("p") is None
        assert [c for c in session.calls if c.startswith("begin")] == ["begin serializable", "begin"]


def test_a_connection_lost_before_commit_is_a_refusal() -> None:
    """Nothing can have been committed; whoever performs hears that the connection is gone."""
    desk = Desk()
    session = PlayedSession(fails={"insert": ConnectionLost("cut")})
    assert desk.perform(insert("p", "1"), session=session) == "lost"
    (done,) = desk.entries
    assert isinstance(done, Done)
    assert done.outcome == "refused"
    assert "cut" in done.detail


def test_an_unknown_outcome_binds_nothing() -> None:
    """A COMMIT without an answer stays open, and its rows can't be named."""
    desk = Desk()
    assert desk.perform(insert("p", "1"), session=PlayedSession(Ack(outcome="unknown"))) == "unknown"
    assert [type(entry) for entry in desk.entries] == [Sent, Done]
    assert desk.bindings.get("p") is None


def test_a_rollback_on_purpose_is_refused_as_planned() -> None:
    """Its operations ran, COMMIT was never sent."""
    desk, session = Desk(), PlayedSession()
    assert desk.perform(insert("p", "1"), session=session, commit=False) == "refused"
    (done,) = desk.entries
    assert isinstance(done, Done)
    assert done.detail == "rolled back as planned"
    assert session.calls == ["begin", "insert", "rollback"]


def test_a_transaction_that_names_no_row_is_skipped() -> None:
    """Without its row it can't be tried; what it had begun is undone."""
    desk, session = Desk(), PlayedSession()
    performed = desk.perform(insert("p", "1"), Delete(table=PURCHASE.name, handle="never"), session=session)
    (skipped,) = desk.entries
    assert performed == "skipped"
    assert isinstance(skipped, WriterSkipped)
    assert "never names no row" in skipped.reason
    assert session.calls[-1] == "reset"


def test_a_statement_that_hits_no_row_is_no_change() -> None:
    """An update or a deletion of a row that is not there leaves no trace in what was sent."""
    desk = Desk()
    desk.perform(insert("p", "gone"), insert("q", "2"))
    desk.entries.clear()
    desk.perform(
        Update(table=PURCHASE.name, handle="p", values={"remark": "x"}),
        Delete(table=PURCHASE.name, handle="p"),
        Delete(table=PURCHASE.name, handle="q"),
    )
    sent = desk.entries[0]
    assert isinstance(sent, Sent)
    assert [(c.op, c.key) for c in sent.changes if c.table == PURCHASE.name] == [
        ("delete", row_key(PURCHASE.name, ("2",)))
    ]


def test_images_of_a_bulk_load_find_their_handles_by_key() -> None:
    """COPY's images come back in any order."""
    desk = Desk()
    rows = tuple(CopyRow(handle=f"c{n}", values={"id": f"k{n}", "merchant": "acme"}) for n in range(3))
    desk.perform(Copy(table=PURCHASE.name, rows=rows))
    bound = [desk.bindings.get(f"c{n}") for n in range(3)]
    assert [b.key for b in bound if b] == [("k0",), ("k1",), ("k2",)]


def test_keys_of_rows_are_resolved_from_earlier_transactions() -> None:
    """A later transaction names the row that an acknowledged one made."""
    desk, session = Desk(), PlayedSession()
    desk.perform(insert("p", "1"))
    line = Insert(table=LINE.name, handle="l", values={"id": "9", "purchase": Ref(handle="p", column="id")})
    desk.perform(line, session=session)
    bound = desk.bindings.get("l")
    assert bound is not None
    assert bound.cells["purchase"] == "1"
