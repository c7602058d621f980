"""What a script's transaction did to a tenant, by the plan and by what was seen: effect by effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, NOTE, ROOT, a_schema, mark, whole
from harness.judge.scripts import Book, ScriptReader
from harness.judge.states import Role, State, Step
from harness.judge.timeline import NEVER, Transaction
from harness.model import history as h
from harness.model.history import Outcome
from harness.model.plan import Effect, ScriptTransaction, Statement
from harness.model.values import NO_IMAGE, Image, RowKey, image_of, row_key, table_and_key

A = row_key(ROOT, ("a",))
I1, I2, I3 = (row_key(ITEM, (n,)) for n in "123")
N1, N2 = row_key(NOTE, ("n1",)), row_key(NOTE, ("n2", "x"))
BEGUN_S = 5.0


def root(deleted_at: str | None = None) -> Image:
    """a's root row."""
    return image_of({"id": "a", "deleted_at": deleted_at})


def an_item(number: str, body: str | None = "x", tenant: str = "a") -> Image:
    """A row of items."""
    return image_of({"id": number, "tenant": tenant, "body": body})


ROWS: dict[RowKey, Image | None] = {
    A: root(),
    I1: an_item("1"),
    I2: an_item("2"),
    N1: image_of({"id": "n1", "item": "1"}),
}


def transaction(
    name: str,
    *,
    ended_s: float = 1.0,
    outcome: Outcome = "acked",
    sight: h.Sight | None = None,
    updates: Mapping[RowKey, Image | None] | None = None,
) -> Transaction:
    """A transaction; what a script's one updated, or deleted, stands in its line."""
    changes = tuple(
        h.Change(op="update" if image else "delete", key=row, row=image or NO_IMAGE)
        for row, image in (updates or {}).items()
    )
    sent = h.Sent(
        at_s=BEGUN_S,
        name=name,
        actor="script",
        tenant=None,
        cluster=1,
        xid=1,
        begun_s=BEGUN_S,
        lsn_lower=1,
        changes=changes,
    )
    return Transaction(
        name=name,
        actor="script",
        tenant=None,
        cluster=1,
        xid=1,
        begun_s=BEGUN_S,
        sent_s=BEGUN_S,
        ended_s=ended_s,
        outcome=outcome,
        sight=sight,
        line=h.encode_line(sent),
    )


def wrote(
    writes: Mapping[RowKey, Image | None], *, ended_s: float = 1.0, maybe: Iterable[RowKey] = ()
) -> Step:
    """What the tenant wrote before the script; beside it if it ended so late."""
    return Step(tx=transaction("w", ended_s=ended_s), writes=writes, maybe=frozenset(maybe))


BESIDE = wrote({I3: an_item("3")}, ended_s=BEGUN_S)


class Did(NamedTuple):
    """What a transaction is found to have done."""

    writes: Mapping[RowKey, Image | None] = {}
    role: Role = "damage"
    whole: bool = False
    maybe: Iterable[RowKey] = ()
    deleted: Mapping[str, tuple[int, int]] = {}
    marked: Mapping[str, tuple[int, int]] = {}
    spared: tuple[RowKey, ...] = ()
    taken: tuple[RowKey, ...] = ()


def read(
    *actual: Effect,
    intended: tuple[Effect, ...] = (),
    left: Iterable[RowKey] | None = None,
    updates: Mapping[RowKey, Image | None] | None = None,
    before: tuple[Step, ...] = (),
    name: str = "s",
) -> Did:
    """Read what s did to a; ``left``: the rows seen left in it, None where nobody looked."""
    keys: dict[str, tuple[tuple[str, ...], ...]] = {}
    for table, key in map(table_and_key, left or ()):
        keys[table] = (*keys.get(table, ()), key)
    sight = None if left is None else h.Sight(left={"a": keys}, deleted={}, updated={})
    planned = ScriptTransaction(
        name="s", statements=(Statement(sql="DELETE"),), intended=intended, actual=actual
    )
    reader = ScriptReader(a_schema(), {"s": planned})
    book = Book([wrote(ROWS), *before])
    step, forecast = reader.read(transaction(name, sight=sight, updates=updates), "a", book)
    assert (forecast.tenant, forecast.tx) == ("a", step.tx)
    return Did(
        writes=step.writes,
        role=step.role,
        whole=step.whole,
        maybe=step.maybe,
        deleted=forecast.deleted,
        marked=forecast.marked,
        spared=forecast.spared,
        taken=forecast.taken,
    )


GONE = dict.fromkeys(ROWS)
COUNTS = {ROOT: (1, 1), ITEM: (2, 2), NOTE: (1, 1)}
OF_I1 = Effect(tenant="a", mode="permanent", tables=(ITEM,), keys=(("1",),))
BLANK = Effect(tenant="a", mode="blank", tables=(ITEM,), columns=("body",))
MOVE = Effect(tenant="a", mode="move", tables=(ITEM,), along=(NOTE,), to="b")
PURGE = Effect(tenant="a", mode="purge", tables=(ITEM, ROOT), mark_column="deleted_at")
TRUNCATE = Effect(tenant="a", mode="truncate", tables=(ITEM,))
DETACH = Effect(tenant="a", mode="detach", tables=(ITEM,), leaf=0)
OF_B = wrote({I2: an_item("2", tenant="b")})
MARKED = {A: root("today")}
MARKED_BEFORE = wrote({A: root("yesterday")})

CASES = {
    "all of it": (partial(read, whole("a")), Did(writes=GONE, deleted=COUNTS)),
    "all of it, as was seen": (partial(read, whole("a"), left=()), Did(writes=GONE, deleted=COUNTS)),
    "all of it, as intended": (
        partial(read, whole("a"), intended=(whole("a"),)),
        Did(writes=GONE, role="intended", whole=True, deleted=COUNTS),
    ),
    "all of it, where a mark was intended": (
        partial(read, whole("a"), intended=(mark("a"),)),
        Did(writes=GONE, deleted=COUNTS),
    ),
    "all but a row": (
        partial(read, whole("a"), left=[I1]),
        Did(
            writes={A: None, I2: None, N1: None},
            deleted={**COUNTS, ITEM: (1, 1)},
            spared=(I1,),
        ),
    ),
    "a row, as intended": (
        partial(read, OF_I1, intended=(OF_I1,), left=[A, I2, N1]),
        Did(writes={I1: None}, role="intended", deleted={ITEM: (1, 1)}),
    ),
    "a row and what went with it": (
        partial(read, OF_I1, intended=(OF_I1,), left=[A, I2]),
        Did(writes={I1: None, N1: None}, deleted={ITEM: (1, 1), NOTE: (1, 1)}, taken=(N1,)),
    ),
    "what no plan says": (
        partial(read, whole("a"), name="stranger", left=[A, I2, N1]),
        Did(writes={I1: None}, deleted={ITEM: (1, 1)}, taken=(I1,)),
    ),
    "nothing, though it was seen": (
        partial(read, OF_I1, left=[A, I1, I2, N1]),
        Did(role="intended", spared=(I1,)),
    ),
    "all of it beside a writer": (
        partial(read, whole("a"), before=(BESIDE,)),
        Did(writes={**GONE, I3: None}, maybe={I3}, deleted={**COUNTS, ITEM: (2, 3)}),
    ),
    "all of it beside a writer, as was seen": (
        partial(read, whole("a"), before=(BESIDE,), left=[I3]),
        Did(writes=GONE, deleted=COUNTS),
    ),
    "a row beside a writer, whose row was not seen": (
        partial(read, OF_I1, before=(BESIDE,), left=[A, I2, N1]),
        Did(writes={I1: None}, deleted={ITEM: (1, 1)}),
    ),
    "a row of which it is not sure that it was there": (
        partial(read, whole("a"), before=(BESIDE,), left=[A, I1]),
        Did(
            writes={I2: None, N1: None, I3: None},
            maybe={I3},
            deleted={ITEM: (1, 2), NOTE: (1, 1)},
            spared=(A, I1),
        ),
    ),
    "nothing of what is another's by now": (
        partial(read, whole("a"), before=(OF_B,)),
        Did(writes={A: None, I1: None, N1: None}, deleted={**COUNTS, ITEM: (1, 1)}),
    ),
    "a mark": (
        partial(read, mark("a"), updates=MARKED, left=ROWS),
        Did(writes=MARKED, marked={ROOT: (1, 1)}),
    ),
    "a mark, as intended": (
        partial(read, mark("a"), intended=(mark("a"),), updates=MARKED, left=ROWS),
        Did(writes=MARKED, role="intended", marked={ROOT: (1, 1)}),
    ),
    "a mark that was not seen": (
        partial(read, mark("a"), left=ROWS),
        Did(role="intended", marked={ROOT: (1, 1)}, spared=(A,)),
    ),
    "a mark of what was marked": (
        partial(read, mark("a"), left=ROWS, before=(MARKED_BEFORE,)),
        Did(role="intended", marked={ROOT: (0, 1)}),
    ),
    "a mark beside a writer": (
        partial(read, mark("a"), left=ROWS, before=(wrote({A: root()}, ended_s=BEGUN_S),)),
        Did(role="intended", marked={ROOT: (0, 1)}),
    ),
    "marks on more than it should": (
        partial(read, mark("a"), left=ROWS, updates={**MARKED, I1: an_item("1", "y"), I3: an_item("3")}),
        Did(writes={**MARKED, I1: an_item("1", "y")}, marked={ROOT: (1, 1)}, taken=(I1,)),
    ),
    "a blank": (
        partial(read, BLANK, left=ROWS),
        Did(writes={I1: an_item("1", None), I2: an_item("2", None)}, marked={ITEM: (2, 2)}),
    ),
    "a blank, as intended, beside a writer": (
        partial(read, BLANK, intended=(BLANK,), before=(BESIDE,)),
        Did(
            writes={row: an_item(row[-1], None) for row in (I1, I2, I3)},
            role="intended",
            maybe={I3},
            marked={ITEM: (2, 3)},
        ),
    ),
    "a blank of what it also removed": (
        partial(read, BLANK, OF_I1, left=[A, I2, N1]),
        Did(
            writes={I1: None, I2: an_item("2", None)},
            deleted={ITEM: (1, 1)},
            marked={ITEM: (1, 1)},
        ),
    ),
    "a move, with what goes along": (
        partial(read, MOVE, left=[A]),
        Did(writes={I1: None, I2: None, N1: None}, marked={ITEM: (2, 2)}),
    ),
    "a move, and a deletion of the rest": (
        partial(read, MOVE, Effect(tenant="a", mode="permanent", tables=(ROOT,)), left=()),
        Did(writes=GONE, marked={ITEM: (2, 2)}, deleted={ROOT: (1, 1)}),
    ),
    "a purge without a mark": (partial(read, PURGE, left=ROWS), Did(role="intended")),
    "a purge": (
        partial(read, PURGE, before=(MARKED_BEFORE,)),
        Did(writes={A: None, I1: None, I2: None}, deleted={ROOT: (1, 1), ITEM: (2, 2)}),
    ),
    "a purge, where only another table bears the mark": (
        partial(read, structs.replace(PURGE, tables=(NOTE, ITEM, ROOT), mark_column="body")),
        Did(role="intended"),
    ),
    "all of it, a key of two parts too": (
        partial(read, whole("a"), before=(wrote({N2: image_of({"id": "n2"})}),)),
        Did(writes={**GONE, N2: None}, deleted={**COUNTS, NOTE: (2, 2)}),
    ),
    "all items, blanked before": (
        partial(read, BLANK, Effect(tenant="a", mode="permanent", tables=(ITEM,))),
        Did(writes={I1: None, I2: None}, deleted={ITEM: (2, 2)}),
    ),
    "all items, blanked at last": (
        partial(read, Effect(tenant="a", mode="permanent", tables=(ITEM,)), BLANK),
        Did(writes={I1: None, I2: None}, deleted={ITEM: (2, 2)}),
    ),
    "a row, and a deletion that was told though it is there": (
        partial(read, OF_I1, left=[A, I2, N1], updates={A: None}),
        Did(writes={I1: None}, deleted={ITEM: (1, 1)}),
    ),
    "a TRUNCATE": (partial(read, TRUNCATE), Did(writes={I1: None, I2: None})),
    "a TRUNCATE, seen": (partial(read, TRUNCATE, left=[A, N1]), Did(writes={I1: None, I2: None})),
    "a partition, unseen": (partial(read, DETACH), Did(role="intended")),
    "a partition that held a row": (partial(read, DETACH, left=[A, I2, N1]), Did(writes={I1: None})),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_a_script_did(case: tuple[Callable[[], Did], Did]) -> None:
    """Rows that it changed, whether as intended, how many the server counts, and where the model is off."""
    read_it, expected = case
    assert read_it() == expected._replace(maybe=frozenset(expected.maybe))


def test_a_book_keeps_a_row_whose_deletion_is_not_sure() -> None:
    """It may be there, though in the likely state it is not; what is written there later counts."""
    gone = {I1: None, I3: None, N1: None}
    open_deletion = Step(tx=transaction("o", ended_s=NEVER, outcome="unknown"), writes=gone)
    perhaps = wrote({I2: None, A: None}, maybe=[I2])
    steps = [wrote(ROWS), open_deletion, perhaps]
    book = Book(steps)
    assert set(book.rows) == {I1, I2, N1}
    assert book.state() == State(steps=3, rows={})
    steps.append(wrote({I1: an_item("1", "again")}))
    assert book.state() == State(steps=4, rows={I1: an_item("1", "again")})
    steps.append(wrote({I2: None, I3: None, A: root("today")}))
    assert book.rows == {A: root("today"), I1: an_item("1", "again"), N1: ROWS[N1]}


def test_a_row_is_unsure_until_a_sure_write_of_it() -> None:
    """What ended as the transaction began did not end before it."""
    tx = transaction("s")
    for steps, unsure in (
        ([wrote({I1: None})], set()),
        ([wrote({I1: None}, ended_s=BEGUN_S)], {I1}),
        ([wrote({I1: None, I2: None}, maybe=[I2])], {I2}),
        ([wrote({I1: None}, maybe=[I1]), wrote({I1: an_item("1")})], set()),
        ([Step(tx=transaction("o", outcome="unknown"), writes={I1: None})], {I1}),
        ([BESIDE, wrote({I1: None}, maybe=[I1]), wrote({I3: None})], {I1}),
    ):
        assert Book(steps).unsure(tx) == unsure
