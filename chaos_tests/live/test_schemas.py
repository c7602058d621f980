"""Reference schemas and the lint on a real Postgres: what was declared is there, and can be carried."""

from __future__ import annotations

import msgspec
import psycopg
import pytest

from fixtures.postgres import MakeDatabase
from harness.model.errors import BadInput, LintRefused
from harness.schemas import LoadedSchema, decode, load, names
from harness.stack.services.postgres import run_sql
from harness.subject.reference import capture_sql
from harness.subject.reference.adapters.lint import lint, refuse
from harness.subject.reference.carried import TYPES

pytestmark = pytest.mark.live

VIRTUAL = """
CREATE SCHEMA mine;
CREATE TABLE mine.customer (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    shout text GENERATED ALWAYS AS (upper(name)) VIRTUAL
);
"""
MINE = """
name = "mine"
script = { root = "mine.customer" }
[[tables]]
name = "mine.customer"
tenancy = { kind = "column", column = "id" }
key = ["id"]
columns = [
  { name = "id", type = "bigint" },
  { name = "name", type = "text" },
  { name = "shout", type = "text", nullable = true, given_by = "generated" },
]
"""


@pytest.mark.parametrize("name", names())
def test_a_reference_schema_is_as_declared_and_can_be_carried(
    make_database: MakeDatabase, name: str
) -> None:
    """The lint finds nothing, neither before capture is prepared nor after it, nor after twice."""
    loaded = load(name)
    place = make_database(loaded, prepared=False)
    assert lint(place.app, loaded.schema, prepared=False) == []
    assert lint(place.admin, loaded.schema) != []
    for _ in range(2):
        run_sql(place.admin, capture_sql(loaded.schema))
        assert lint(place.admin, loaded.schema, capture_role="debezium") == []


HELPDESK_PROBLEMS = {
    "CREATE TABLE helpdesk.forgotten (id int)": (
        "helpdesk.forgotten",
        "has no tenancy",
        "schema.toml",
    ),
    "ALTER TABLE helpdesk.tickets REPLICA IDENTITY DEFAULT": (
        "helpdesk.tickets",
        "isn't FULL",
        'ALTER TABLE "helpdesk"."tickets" REPLICA IDENTITY FULL;',
    ),
    "ALTER TABLE helpdesk.audit_2 REPLICA IDENTITY NOTHING": (
        "helpdesk.audit",
        "audit_2 isn't FULL",
        'ALTER TABLE "helpdesk"."audit_2" REPLICA IDENTITY FULL;',
    ),
    "ALTER TABLE helpdesk.comments ALTER ticket_id DROP NOT NULL": (
        "helpdesk.comments",
        "path to its tenant through ticket_id is nullable",
        'ALTER TABLE "helpdesk"."comments" ALTER COLUMN "ticket_id" SET NOT NULL;',
    ),
    "ALTER TABLE helpdesk.labels ALTER tenant_id DROP NOT NULL": (
        "helpdesk.labels",
        "tenant column tenant_id is nullable",
        'ALTER COLUMN "tenant_id" SET NOT NULL;',
    ),
    "ALTER PUBLICATION restoreproof_pub DROP TABLE helpdesk.labels": (
        "helpdesk.labels",
        "not in publication",
        'ADD TABLE "helpdesk"."labels";',
    ),
    "ALTER PUBLICATION restoreproof_pub SET (publish = 'insert, update')": (
        "*",
        "lacks delete, truncate",
        "publish = 'insert, update, delete, truncate'",
    ),
    "ALTER PUBLICATION restoreproof_pub SET (publish_via_partition_root = false)": (
        "*",
        "publish_via_partition_root",
        "publish_via_partition_root = true",
    ),
    "ALTER PUBLICATION restoreproof_pub SET TABLE helpdesk.apps WHERE (id > 3)": (
        "helpdesk.apps",
        "leaves out rows or columns",
        'ADD TABLE "helpdesk"."apps";',
    ),
    "DROP PUBLICATION restoreproof_pub": ("*", "no publication", "CREATE PUBLICATION"),
    "ALTER TABLE helpdesk.invoices DROP CONSTRAINT invoices_pkey": (
        "helpdesk.invoices",
        "primary key is missing",
        'ADD PRIMARY KEY ("id");',
    ),
    "ALTER TABLE helpdesk.apps ADD COLUMN at timetz": (
        "helpdesk.apps",
        "arrive changed",
        'ALTER COLUMN "at" TYPE time without time zone;',
    ),
    "ALTER TABLE helpdesk.apps ADD COLUMN counts bigint[]": (
        "helpdesk.apps",
        "hold more than one dimension",
        'ADD CHECK ((array_ndims("counts") = 1) AND (array_lower("counts", 1) = 1));',
    ),
    "ALTER TABLE helpdesk.tickets DROP CONSTRAINT tickets_votes_check": (
        "helpdesk.tickets",
        "hold more than one dimension",
        'ADD CHECK ((array_ndims("votes") = 1) AND (array_lower("votes", 1) = 1));',
    ),
    "ALTER TABLE helpdesk.apps ALTER COLUMN name TYPE varchar(80)": (
        "helpdesk.apps",
        "declared as text, but is character varying(80)",
        "schema.toml",
    ),
    "ALTER TABLE helpdesk.apps DROP CONSTRAINT apps_tenant_id_fkey": (
        "helpdesk.apps",
        "is declared, but not there",
        "schema.toml",
    ),
    "ALTER TABLE helpdesk.apps ADD UNIQUE (tenant_id, name)": (
        "helpdesk.apps",
        "is unique, but not declared so",
        "schema.toml",
    ),
    "ALTER TYPE helpdesk.priority ADD VALUE 'later'": (
        "helpdesk.priority",
        "the enum is declared",
        "schema.toml",
    ),
    "ALTER TABLE helpdesk.apps ENABLE ROW LEVEL SECURITY": (
        "helpdesk.apps",
        "would hide rows from app",
        "ALTER ROLE app BYPASSRLS;",
    ),
}
PROBLEMS_SINCE_18 = {
    "ALTER TABLE helpdesk.labels ADD COLUMN v int GENERATED ALWAYS AS (1) VIRTUAL": (
        "helpdesk.labels",
        "generated and virtual",
        'DROP COLUMN "v", ADD COLUMN "v" integer GENERATED ALWAYS AS (1) STORED;',
    ),
    "ALTER PUBLICATION restoreproof_pub SET (publish_generated_columns = none)": (
        "helpdesk.tickets",
        "subject_chars",
        "SET (publish_generated_columns = stored);",
    ),
}
PROBLEMS = [*HELPDESK_PROBLEMS, *(pytest.param(c, marks=pytest.mark.local_only) for c in PROBLEMS_SINCE_18)]


@pytest.mark.parametrize("change", PROBLEMS)
def test_what_cant_be_carried_is_refused_with_its_cure(make_database: MakeDatabase, change: str) -> None:
    """Each change is met by a problem that names the table, the matter and the SQL that cures it.

    Two changes are local only: Postgres knows their words from 18 on, and our image has an older one.
    """
    table, what, cure = {**HELPDESK_PROBLEMS, **PROBLEMS_SINCE_18}[change]
    loaded = load("helpdesk")
    place = make_database(loaded)
    with psycopg.connect(place.admin, autocommit=True) as admin:
        admin.execute(change.encode())
    found = lint(place.admin, loaded.schema, capture_role="app")
    assert [p for p in found if p.table == table and what in p.what and cure in p.cure_sql], found
    with pytest.raises(LintRefused, match=r"ALTER|CREATE|schema\.toml"):
        refuse(found)


def test_the_cures_cure(make_database: MakeDatabase) -> None:
    """Running the SQL of every problem of an unprepared database leaves no problem."""
    loaded = load("helpdesk")
    place = make_database(loaded, prepared=False)
    with psycopg.connect(place.admin, autocommit=True) as admin:
        for problem in lint(place.admin, loaded.schema):
            admin.execute(problem.cure_sql.encode())
    assert lint(place.admin, loaded.schema) == []


def test_an_update_that_postgres_refuses_is_met_by_trying(make_database: MakeDatabase) -> None:
    """A refusal that no rule foresees (here a trigger's) is found by the UPDATE that is rolled back."""
    loaded = load("shop")
    place = make_database(loaded)
    with psycopg.connect(place.admin, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION shop.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'never'; END $$"
        )
        admin.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON shop.line FOR EACH STATEMENT EXECUTE FUNCTION shop.no()"
        )
    (problem,) = lint(place.admin, loaded.schema)
    assert (problem.table, problem.what) == ("shop.line", "UPDATE is refused: never")


@pytest.mark.local_only
def test_a_users_own_schema_with_a_virtual_column_is_refused(make_database: MakeDatabase) -> None:
    """Before anything is captured, a virtual generated column is refused with the ALTER that cures it.

    Local only: Postgres has virtual columns from 18 on, and our image has an older one.
    """
    mine = LoadedSchema(schema=decode(MINE), sql=VIRTUAL)
    place = make_database(mine, prepared=False)
    with pytest.raises(LintRefused, match="virtual") as refused:
        refuse(lint(place.app, mine.schema, prepared=False))
    assert 'ADD COLUMN "shout" text GENERATED ALWAYS AS (upper(name)) STORED;' in refused.value.cure


def test_columns_in_another_order_are_refused(make_database: MakeDatabase) -> None:
    """A snapshot takes columns by position: what is declared must be in the table's own order."""
    loaded = load("shop")
    place = make_database(loaded)
    first, *rest = loaded.schema.tables
    turned = msgspec.structs.replace(first, columns=tuple(reversed(first.columns)))
    (problem,) = lint(place.admin, msgspec.structs.replace(loaded.schema, tables=(turned, *rest)))
    assert (problem.table, "another order than code, title, since" in problem.what) == (first.name, True)


def test_every_type_of_the_server_is_in_the_table(make_database: MakeDatabase) -> None:
    """Whatever is built in and no array, composite or domain is carried or refused by its own name."""
    query = """
        SELECT format_type(t.oid, NULL) FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
        WHERE n.nspname = 'pg_catalog' AND t.typtype IN ('b', 'r', 'm', 'p')
        AND NOT (t.typcategory = 'A' AND t.typname ^@ '_' AND t.typtype = 'b')
    """
    with psycopg.connect(make_database(load("shop")).admin) as admin:
        found = {name for (name,) in admin.execute(query.encode()).fetchall()}
    assert len(found) > 90
    assert found - TYPES.keys() == set()


def test_an_unreachable_database_is_bad_input() -> None:
    """Nobody listening at the DSN is one clear error."""
    with pytest.raises(BadInput, match="can't be reached"):
        lint("postgresql://nobody@127.0.0.1:1/none", load("shop").schema)


def test_deleting_a_tenant_of_helpdesk_uses_indexes(make_database: MakeDatabase) -> None:
    """Every foreign key's columns begin an index, or share one with the key, so that deletes are fast."""
    place = make_database(load("helpdesk"))
    query = """
        SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint AS c
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND c.conparentid = 0
        AND c.confrelid::regclass::text <> 'helpdesk.countries'
        AND NOT EXISTS (
            SELECT FROM pg_index AS i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
    """
    with psycopg.connect(place.admin) as admin:
        assert admin.execute(query.encode()).fetchall() == []
