"""The table of types: whole, tested, and true to its page; and the CHECKs under which a type is carried."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pytest

from fixtures.typed_values import DRAWN, EDGES
from harness import schemas
from harness.model.schema import ByColumn, Column, Infrastructure, Schema, ScriptHints, Table
from harness.subject.reference.carried import EXTENSIONS, IN_ARRAYS, TYPES, Carried, Refused
from harness.subject.reference.conditions import conjuncts, cure, unmet
from harness.subject.reference.rules import Problem, Seen, SeenColumn, SeenTable, problems_unprepared
from harness.subject.reference.shapes import Altered, Shape, ShapeColumn, objection
from harness.subject.reference.types_page import PAGE, page

HELPDESK = schemas.load("helpdesk").schema


def test_the_page_is_what_the_table_writes() -> None:
    """docs/types.md is generated: `python -m harness.subject.reference.types_page` writes it."""
    assert PAGE.read_text() == page()


def test_every_carried_type_is_sent_through_the_pipeline() -> None:
    """Edge cases and a strategy for each: the live test has a column of every type that has them."""
    carried = {name for name, found in TYPES.items() if isinstance(found, Carried)} - {*EXTENSIONS}
    assert {re.sub(r"\(.*?\)", "", declared) for declared in EDGES} == carried
    assert EDGES.keys() == DRAWN.keys()
    assert {*IN_ARRAYS} <= carried


def test_every_refusal_has_a_reason_and_another_type() -> None:
    """One that is carried itself."""
    for found in TYPES.values():
        if isinstance(found, Refused):
            assert found.why
            assert isinstance(TYPES[found.instead.removesuffix("[]")], Carried)


SMALL = Schema(
    name="s",
    tables=(
        Table(
            name="s.t",
            tenancy=ByColumn(column="a"),
            key=("a",),
            columns=(Column(name="a", type="text"), Column(name="n", type="time without time zone")),
        ),
        Table(
            name="s.plumbing",
            tenancy=Infrastructure(),
            key=("n",),
            columns=(Column(name="n", type="money"),),
        ),
    ),
    script=ScriptHints(root="s.t"),
    domains={"s.due": "time without time zone"},
)


def _problems(kind: str, *checks: str) -> Sequence[Problem]:
    """Return what the lint says of a column ``n`` of a type in a table with these CHECKs."""
    first, plumbing = SMALL.tables
    declared = msgspec.structs.replace(
        SMALL, tables=(msgspec.structs.replace(first, columns=(first.columns[0], _column(kind))), plumbing)
    )
    seen = {
        table.name: SeenTable(
            name=table.name,
            persistence="p",
            row_security=False,
            columns=tuple(
                SeenColumn(name=c.name, type=c.type, not_null=True, identity="", generated="", default=None)
                for c in table.columns
            ),
            key=table.key,
            unique=(),
            foreign_keys=(),
            identities={table.name: "f"},
            published=None,
            checks=checks,
        )
        for table in declared.tables
    }
    found = Seen(version=180000, tables=seen, publication=None, enums={}, domains={**SMALL.domains})
    return problems_unprepared(found, declared)


def _column(kind: str) -> Column:
    return Column(name="n", type=kind)


def test_a_refused_type_is_named_with_its_reason_and_cure() -> None:
    """Only where rows are restored: plumbing may be of any type."""
    (problem,) = _problems("money")
    assert problem.table == "s.t"
    assert "lc_monetary" in problem.what
    assert problem.cure_sql == 'ALTER TABLE "s"."t" ALTER COLUMN "n" TYPE numeric;'


BEFORE_MIDNIGHT = "CHECK ((n < '24:00:00'::time without time zone))"
CAST = "CHECK (((n)::time without time zone < '24:00:00'::time without time zone))"
FLAT_CAST = "CHECK (((array_ndims((n)::{0}) = 1) AND (array_lower((n)::{0}, 1) = 1)))"
FLAT = "CHECK (((array_ndims(n) = 1) AND (array_lower(n, 1) = 1)))"


@pytest.mark.parametrize(
    ("kind", "checks"),
    [
        ("time without time zone", (BEFORE_MIDNIGHT,)),
        ("s.due", (CAST,)),
        ("interval", ("CHECK (isfinite(n))",)),
        ("interval", ("CHECK ((isfinite(n) AND (n > '00:00:00'::interval)))",)),
        ("text[]", (FLAT,)),
        ("integer[]", ("CHECK ((array_ndims(n) = 1))", 'CHECK ((array_lower("n", 1) = 1))')),
        (
            "text[]",
            ("CHECK (((cardinality(n) < 9) AND (array_ndims(n) = 1) AND (array_lower(n, 1) = 1)))",),
        ),
        ("text", ()),
    ],
)
def test_a_check_that_rules_out_what_is_bent_is_enough(kind: str, checks: tuple[str, ...]) -> None:
    """Each as Postgres prints it: alone, or among others."""
    assert _problems(kind, *checks) == []


@pytest.mark.parametrize(
    ("kind", "checks", "said", "cured"),
    [
        (
            "time without time zone",
            (),
            "24:00",
            """ADD CHECK (("n" < '24:00:00'::time without time zone));""",
        ),
        ("interval", ("CHECK ((isfinite(n) OR (a = 'x'::text)))",), "infinity", 'CHECK (isfinite("n"));'),
        ("interval", ("CHECK (isfinite(m))",), "infinity", 'CHECK (isfinite("n"));'),
        (
            "text[]",
            ("CHECK ((array_ndims(n) = 1))",),
            "begin elsewhere than at 1",
            'CHECK ((array_lower("n", 1) = 1));',
        ),
        (
            "bigint[]",
            ("CHECK (((a = 'x'::text) OR ((array_ndims(n) = 1) AND (array_lower(n, 1) = 1))))",),
            "more than one dimension",
            'CHECK ((array_ndims("n") = 1) AND (array_lower("n", 1) = 1));',
        ),
        (
            "bigint[]",
            ("CHECK ((NOT ((array_ndims(n) = 1) AND (array_lower(n, 1) = 1))))",),
            "more than one dimension",
            'CHECK ((array_ndims("n") = 1) AND (array_lower("n", 1) = 1));',
        ),
    ],
)
def test_without_it_the_column_is_refused_with_the_check(
    kind: str, checks: tuple[str, ...], said: str, cured: str
) -> None:
    """A condition that need not hold is none, however it looks."""
    (problem,) = _problems(kind, *checks)
    assert said in problem.what
    assert problem.cure_sql.endswith(cured)


@pytest.mark.parametrize(
    ("base", "check"),
    [
        ("time(3) without time zone", CAST),
        ("character varying(20)[]", FLAT_CAST.format("character varying[]")),
        ("character(5)[]", FLAT_CAST.format("bpchar[]")),
        ("interval day to second(3)", "CHECK (isfinite((n)::interval))"),
    ],
)
def test_a_check_on_a_domain_casts_to_its_base_without_modifiers(base: str, check: str) -> None:
    """As Postgres 18 printed each of them; a cast to something else is another condition."""
    schema = msgspec.structs.replace(HELPDESK, domains={"helpdesk.d": base})
    assert unmet("n", "helpdesk.d", schema, (check,)) == []
    assert unmet("n", "helpdesk.d", schema, (check.replace("(n)::", "(n)::x"),))


def test_parts_of_a_check_are_those_that_must_hold() -> None:
    """What Postgres joins by AND at the top, and nothing from within."""
    assert [*conjuncts("CHECK (isfinite(n))")] == ["isfinite(n)"]
    assert [*conjuncts("CHECK (((a = 1) AND (b = 2)))")][1:] == ["(a = 1)", "(b = 2)"]
    assert [*conjuncts("CHECK (((a = 1)) OR ((b = 2)))")] == ["((a = 1)) OR ((b = 2))"]
    assert cure("n", unmet("n", "interval", HELPDESK, ())) == 'isfinite("n")'


@pytest.mark.parametrize(
    ("kind", "checks", "why"),
    [
        ("money", (), "lc_monetary"),
        ("text[]", (), "more than one dimension"),
        ("text[]", (FLAT,), None),
        ("text[]", None, None),
        ("text", (), None),
    ],
)
def test_ddl_that_brings_what_is_bent_stops_the_archiver(
    kind: str, checks: tuple[str, ...] | None, why: str | None
) -> None:
    """A column that comes, or a CHECK that goes; a database that was prepared earlier tells of no CHECK."""
    table = SMALL.tables[0]
    columns = (ShapeColumn(number=1, name="a", type="text"), ShapeColumn(number=2, name="n", type=kind))
    said = objection(
        SMALL, table, Altered(now=Shape(table="s.t", columns=columns, key=("a",), checks=checks))
    )
    assert (said is None) if why is None else (said is not None and why in said)
