"""Values speak for themselves: cells, positions, schemas, plans and errors, right and wrong ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, NOTE, ROOT, a_drill, a_schema, finish, whole
from harness.model import plan as plans
from harness.model.errors import BadInput, RestoreproofError, TimedOut, UnknownName
from harness.model.filler import expand_filler
from harness.model.folder import restored_file
from harness.model.history import Note, decode_lines, encode_line
from harness.model.operations import Filler
from harness.model.plan import Plan
from harness.model.position import Position, Xid, format_lsn, parse_lsn, parse_position, parse_xid
from harness.model.schema import ByPath, Column, ForeignKey, Schema, ScriptHints, Shared, Table
from harness.model.values import (
    INLINE_CHARS_MAX,
    Digest,
    Image,
    image_of,
    key_of,
    keys_begin,
    row_if_any,
    row_key,
    row_of,
    rows_of,
    same,
    table_and_key,
    table_of,
    to_cell,
    to_row,
)

# Cells and keys.


def test_a_long_text_is_journalled_as_its_digest() -> None:
    """One character more than the limit makes the difference; null and short texts stay."""
    short, long = "x" * INLINE_CHARS_MAX, "x" * (INLINE_CHARS_MAX + 1)
    digest = Digest(sha256=hashlib.sha256(long.encode()).hexdigest(), chars=len(long))
    assert to_row({"a": None, "b": "", "c": short, "d": long}) == {
        "a": None,
        "b": "",
        "c": short,
        "d": digest,
    }
    assert to_cell(long) != to_cell(long + "x")


def test_a_key_cell_is_never_null_nor_long() -> None:
    """Such a row can't be named."""
    assert key_of({"a": "1", "b": "2"}, ("b", "a")) == ("2", "1")
    for cell in (None, Digest(sha256="0", chars=600)):
        with pytest.raises(ValueError, match="null or long"):
            key_of({"a": cell}, ("a",))


# Positions.


def test_positions_are_read_and_written_like_postgres_does() -> None:
    """Epoch first, then the 64-bit LSN in two halves."""
    lsn = 0x16_B374D848
    assert format_lsn(lsn) == "16/B374D848"
    assert parse_lsn("16/B374D848") == lsn
    assert parse_position("2:16/B374D848") == Position(epoch=2, lsn=lsn)
    assert str(Position(epoch=2, lsn=lsn)) == "2:16/B374D848"
    assert parse_xid("1:7431") == Xid(epoch=1, xid=7431)
    assert str(Xid(epoch=1, xid=7431)) == "1:7431"
    assert Position(epoch=1, lsn=99) < Position(epoch=2, lsn=1)


@pytest.mark.parametrize("text", ["", "16", "x/y", "1:", "a:1/2", "1:16"])
def test_a_text_that_is_no_position_is_refused(text: str) -> None:
    """With the cure."""
    with pytest.raises(BadInput, match="cure: write it like"):
        parse_position(text)


@pytest.mark.parametrize("text", ["", "7431", "1:x", "x:1", "1:-1"])
def test_a_text_that_is_no_transaction_id_is_refused(text: str) -> None:
    """With the cure."""
    with pytest.raises(BadInput, match="cure: write it like 1:7431"):
        parse_xid(text)


# Schemas.


def test_a_schema_knows_whose_rows_a_table_holds() -> None:
    """By a column, by a path to one, or nobody's."""
    schema = a_schema()
    assert [table.name for table in schema.owned] == [ROOT, ITEM, NOTE]
    assert [table.name for table in schema.shared] == ["app.country"]
    assert [table.name for table in schema.infrastructure] == ["app.outbox"]
    assert schema.tenant_column(schema.table(NOTE)) == "tenant"
    assert [step.parent for step in schema.path(schema.table(NOTE))] == [ITEM]
    assert schema.path(schema.table(ROOT)) == ()


def test_a_table_leaves_generated_columns_out_of_an_insert() -> None:
    """They are computed."""
    columns = (Column(name="id", type="int"), Column(name="twice", type="int", given_by="generated"))
    assert Table(name="t", tenancy=Shared(), key=("id",), columns=columns).stored_columns == ("id",)


@pytest.mark.parametrize(
    "look",
    [
        lambda schema: schema.table(ITEM).column("nobody"),
        lambda schema: schema.table(NOTE).foreign_key(("nobody",)),
        lambda schema: schema.table("nobody"),
    ],
    ids=["column", "foreign_key", "table"],
)
def test_a_name_that_a_schema_does_not_hold_is_refused(look: Callable[[Schema], object]) -> None:
    """The error says which table, and what to mend."""
    with pytest.raises(BadInput, match=r"no .*nobody.*\n  cure: mend schema.toml"):
        look(a_schema())


def path_schema(*, nullable: bool, parent: str) -> Schema:
    """A table whose path leads to ``parent``."""
    key = ForeignKey(columns=("up",), parent=parent, parent_columns=("id",))
    columns = (Column(name="id", type="int"), Column(name="up", type="int", nullable=nullable))
    child = Table(
        name="child", tenancy=ByPath(columns=("up",)), key=("id",), columns=columns, foreign_keys=(key,)
    )
    lookup = Table(name="lookup", tenancy=Shared(), key=("id",), columns=columns[:1])
    return Schema(name="s", script=ScriptHints(root="child"), tables=(lookup, child))


@pytest.mark.parametrize(
    ("nullable", "parent", "words"),
    [
        (True, "lookup", "nullable or endless"),
        (False, "child", "nullable or endless"),
        (False, "lookup", "leads to no tenant"),
    ],
)
def test_a_path_that_leads_to_no_tenant_is_refused(*, nullable: bool, parent: str, words: str) -> None:
    """Nullable, endless, or ending at a table that is nobody's."""
    schema = path_schema(nullable=nullable, parent=parent)
    with pytest.raises(BadInput, match=words):
        schema.path(schema.table("child"))


# Plans.


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A plan that can be run."""
    return finish(a_drill()).plan()


def test_a_plan_that_was_written_is_read_again(plan: Plan) -> None:
    """All of it."""
    assert plans.decode(plans.encode(plan)) == plan
    assert plan.tenant("b").tenant == "b"
    assert "seed 1, 3 tenants" in repr(plan)


def test_a_plan_does_not_hold_every_tenant(plan: Plan) -> None:
    """Asking for another one is an error."""
    with pytest.raises(KeyError):
        plan.tenant("nobody")


def test_plans_that_contradict_themselves_are_refused(plan: Plan) -> None:
    """One sentence says what is wrong."""
    script = plan.scripts[0]
    stranger = structs.replace(script.transactions[0], actual=(whole("stranger"),))
    wrong = {
        "has no tenants": structs.replace(plan, tenants=()),
        "names a tenant twice": structs.replace(plan, tenants=(*plan.tenants, plan.tenants[0])),
        "has no script": structs.replace(plan, scripts=()),
        "restores unknown tenants again": structs.replace(plan, again=("nobody",)),
        "budget_s > promise_s": structs.replace(plan, budget_s=301.0),
        "write_counts do not match": structs.replace(
            plan, tenants=(structs.replace(plan.tenants[0], write_counts=()), *plan.tenants[1:])
        ),
        "touches tenant 'stranger'": structs.replace(
            plan, scripts=(structs.replace(script, transactions=(stranger,)),)
        ),
    }
    for words, bad in wrong.items():
        with pytest.raises(BadInput, match=words):
            plans.decode(plans.encode(bad))


def test_a_plan_with_a_wrong_field_is_refused_by_its_name(plan: Plan) -> None:
    """A negative duration, a missing field, and one that nobody knows."""
    data = msgspec.json.decode(plans.encode(plan))
    for change, words in (
        ({"write_s": -1.0}, r"write_s"),
        ({"seed": None}, r"seed"),
        ({"surprise": 1}, r"surprise"),
    ):
        with pytest.raises(BadInput, match=words):
            plans.decode(msgspec.json.encode({**data, **change}), source="my.json")


# The rest.


def test_blank_lines_of_a_history_are_passed_over() -> None:
    """A file that ends with one is whole."""
    entry = Note(at_s=1.0, text="x")
    assert list(decode_lines([b"\n", encode_line(entry), b"  \n"])) == [entry]


def test_a_tenants_file_never_leaves_its_folder() -> None:
    """Whatever the tenant is called."""
    assert restored_file("../a b") == "restored/..%2fa%20b.jsonl"


def test_fillers_have_the_length_that_they_say() -> None:
    """And the same seed gives the same text."""
    text = expand_filler(Filler(seed=1, chars=1000, prefix="op "))
    assert (len(text), text[:3]) == (1000, "op ")
    assert expand_filler(Filler(seed=1, chars=3, form="bytea"))[:2] == "\\x"
    assert len(expand_filler(Filler(seed=1, chars=3, form="bytea"))) == 6
    body = msgspec.json.decode(expand_filler(Filler(seed=2, chars=700, form="json")))
    assert [len(member) for member in body.values()] == [700]
    assert expand_filler(Filler(seed=1, chars=9)) != expand_filler(Filler(seed=2, chars=9))


def test_errors_say_what_was_found_and_what_to_do() -> None:
    """Each carries the offending value, and the cure where there is one."""
    unknown = UnknownName("profile", "quik", ["quick", "audit"])
    assert str(unknown) == "unknown profile 'quik'\n  cure: use one of: audit, quick"
    assert (unknown.exit_code, unknown.name) == (64, "quik")
    late = TimedOut("a heartbeat in the bucket", 12.34, "nothing")
    assert str(late) == "waited 12.3 s for: a heartbeat in the bucket; last seen: nothing"
    assert (late.exit_code, late.last_seen) == (70, "nothing")
    assert str(RestoreproofError("plain")) == "plain"


def test_images_are_the_same_by_their_bytes_or_by_what_they_say() -> None:
    """Columns may stand in any order, with any spaces; no row is the same as no row only."""
    one, turned = Image(b'{"id":"1","body":null}'), Image(b'{"body": null, "id": "1"}')
    assert one != turned
    assert same(one, turned)
    assert same(None, None)
    assert not same(one, image_of({"id": "1", "body": ""}))
    assert not same(one, None)
    assert not same(None, one)


def test_what_is_no_row_is_bad_input_once_it_is_decoded() -> None:
    """One by one, or many at a time."""
    with pytest.raises(BadInput, match="no row: 17"):
        row_of(Image(b"17"))
    with pytest.raises(BadInput, match="no row"):
        rows_of([image_of({"id": "1"}), Image(b'{"id":1}')])
    assert row_if_any(None) is None


NAMES = st.text(st.sampled_from("a/~01 é.\0"), max_size=4)


@given(
    st.tuples(NAMES, st.lists(NAMES, max_size=3).map(tuple)), st.tuples(NAMES, st.lists(NAMES).map(tuple))
)
def test_a_row_key_stands_for_one_table_and_key(
    one: tuple[str, tuple[str, ...]], other: tuple[str, tuple[str, ...]]
) -> None:
    """Whatever is in them: both are found in it again, and no two rows have the same."""
    row = row_key(*one)
    assert table_and_key(row) == one
    assert table_of(row) == one[0]
    assert (row == row_key(*other)) == (one == other)
    assert not one[1] or row.startswith(keys_begin([one[0]]))


def test_a_row_key_can_be_read() -> None:
    """It is written as a JSON pointer is."""
    assert row_key("app.order", ("327",)) == "app.order/327"
    assert row_key("app.seat", ("a/b", "~1")) == "app.seat/a~1b/~01"
