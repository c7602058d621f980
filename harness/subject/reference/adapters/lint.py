"""The lint: reads a database's catalogue, compares it with the declared schema, and tries it out.

Trying means an UPDATE and a DELETE on each table that hit no row, in a transaction that is rolled back:
Postgres checks before the first row whether it could publish them, so this meets what no rule knew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from harness.model.errors import BadInput, LintRefused
from harness.model.schema import Schema, Table
from harness.subject.reference.capture import PUBLICATION
from harness.subject.reference.rules import (
    FOREIGN_KEY_ACTIONS,
    Problem,
    Seen,
    SeenColumn,
    SeenForeignKey,
    SeenPublication,
    SeenTable,
    problems,
    problems_unprepared,
    quoted,
)

CONNECT_S_MAX = 5
_SETTINGS = "-c search_path=pg_catalog -c lock_timeout=5s -c statement_timeout=30s"

_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'restoreproof')"

_TABLES = f"""
SELECT c.oid::bigint AS oid, n.nspname || '.' || c.relname AS name, c.relpersistence::text AS persistence,
    c.relrowsecurity AS row_security,
    (SELECT jsonb_object_agg(t.relid::regclass::text, l.relreplident)
        FROM pg_partition_tree(c.oid) AS t JOIN pg_class AS l ON l.oid = t.relid) AS tree,
    c.relreplident::text AS identity
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_OURS}
"""
_COLUMNS = """
SELECT a.attrelid::bigint AS oid, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS not_null, a.attidentity::text AS identity,
    a.attgenerated::text AS generated, pg_get_expr(d.adbin, d.adrelid) AS default
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_INDEXES = """
SELECT i.indrelid::bigint AS oid, i.indisprimary AS is_primary,
    ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
FROM pg_index AS i
WHERE i.indrelid = ANY (%s) AND i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL
"""
_NAMED = """ARRAY(SELECT a.attname::text FROM unnest({key}) WITH ORDINALITY AS u (number, place)
        JOIN pg_attribute AS a ON a.attrelid = {table} AND a.attnum = u.number ORDER BY u.place)"""
_FOREIGN_KEYS = f"""
SELECT k.conrelid::bigint AS oid, n.nspname || '.' || p.relname AS parent, k.condeferrable AS deferrable,
    k.confdeltype::text AS action,
    {_NAMED.format(key="k.conkey", table="k.conrelid")} AS columns,
    {_NAMED.format(key="k.confkey", table="k.confrelid")} AS parent_columns
FROM pg_constraint AS k JOIN pg_class AS p ON p.oid = k.confrelid
JOIN pg_namespace AS n ON n.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conrelid = ANY (%s) AND k.conparentid = 0
"""
_CHECKS = """
SELECT conrelid::bigint AS oid, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE contype = 'c' AND convalidated AND conrelid = ANY (%s)
"""
_PUBLISHED = """
SELECT schemaname || '.' || tablename AS name, rowfilter IS NULL
    AND cardinality(attnames) = (SELECT count(*) FROM pg_attribute
        WHERE attrelid = format('%%I.%%I', schemaname, tablename)::regclass AND attnum > 0
        AND NOT attisdropped AND (attgenerated = '' OR attname = ANY (attnames))) AS whole
FROM pg_publication_tables WHERE pubname = %s
"""
_PUBLICATION = "SELECT to_jsonb(p) AS p FROM pg_publication AS p WHERE pubname = %s"
_ENUMS = f"""
SELECT n.nspname || '.' || t.typname AS name,
    array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_enum AS e JOIN pg_type AS t ON t.oid = e.enumtypid JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE {_OURS} GROUP BY 1
"""
_DOMAINS = f"""
SELECT n.nspname || '.' || t.typname AS name, format_type(t.typbasetype, t.typtypmod) AS base
FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {_OURS}
"""
_EVENT_TRIGGERS = "SELECT evtname AS name FROM pg_event_trigger WHERE evtenabled = 'A'"
_ROLE = "SELECT rolbypassrls OR rolsuper AS sees_all FROM pg_roles WHERE rolname = %s"

Session = psycopg.Connection[dict[str, Any]]


def lint(
    dsn: str,
    schema: Schema,
    *,
    publication: str = PUBLICATION,
    capture_role: str | None = None,
    prepared: bool = True,
    trial: bool = True,
) -> list[Problem]:
    """Return what stands in the way of carrying ``schema`` from the database at ``dsn``.

    ``dsn``: the tables' owner or a superuser. ``capture_role``: who takes the snapshot; it must see rows
    behind row security. ``prepared``: False before ``capture_sql`` was run; then only what it would not
    cure is a problem. ``trial``: False to look at the catalogue only, which any role may, and which waits
    for nobody's lock. Changes nothing. Raises BadInput when the database can't be reached.
    """
    try:
        session = psycopg.connect(
            dsn, row_factory=dict_row, connect_timeout=CONNECT_S_MAX, options=_SETTINGS
        )
    except psycopg.OperationalError as error:
        raise BadInput(f"the database can't be reached: {error}", cure="check the DSN") from None
    with session:
        seen = _read(session, publication)
        found = problems(seen, schema, publication) if prepared else problems_unprepared(seen, schema)
        found += _row_security(session, seen, capture_role)
        if prepared and trial and not found:
            found += [problem for table in schema.tables for problem in _try(session, table)]
        session.rollback()
    return found


def refuse(found: Sequence[Problem]) -> None:
    """Raise LintRefused with every problem and every cure; return if there is none."""
    if found:
        raise LintRefused(
            "the schema can't be carried:"
            + "".join(f"\n    {problem.table}: {problem.what}" for problem in found),
            cure="".join(f"\n    {sql}" for sql in dict.fromkeys(p.cure_sql for p in found)),
        )


def _read(session: Session, publication: str) -> Seen:
    tables = _rows(session, _TABLES)
    oids = [row["oid"] for row in tables]
    columns = _by_table(_rows(session, _COLUMNS, oids))
    indexes = _by_table(_rows(session, _INDEXES, oids))
    foreign = _by_table(_rows(session, _FOREIGN_KEYS, oids))
    checks = _by_table(_rows(session, _CHECKS, oids))
    published = {row["name"]: row["whole"] for row in _rows(session, _PUBLISHED, publication)}
    return Seen(
        version=session.info.server_version,
        tables={
            row["name"]: SeenTable(
                name=row["name"],
                persistence=row["persistence"],
                row_security=row["row_security"],
                columns=tuple(_column(c) for c in columns.get(row["oid"], [])),
                key=next((tuple(i["columns"]) for i in indexes.get(row["oid"], []) if i["is_primary"]), ()),
                unique=tuple(
                    tuple(i["columns"]) for i in indexes.get(row["oid"], []) if not i["is_primary"]
                ),
                foreign_keys=tuple(_foreign_key(k) for k in foreign.get(row["oid"], [])),
                identities=row["tree"] or {row["name"]: row["identity"]},
                published=published.get(row["name"]),
                checks=tuple(c["definition"] for c in checks.get(row["oid"], [])),
            )
            for row in tables
        },
        publication=_publication(_rows(session, _PUBLICATION, publication)),
        enums={row["name"]: tuple(row["labels"]) for row in _rows(session, _ENUMS)},
        domains={row["name"]: row["base"] for row in _rows(session, _DOMAINS)},
        event_triggers=frozenset(row["name"] for row in _rows(session, _EVENT_TRIGGERS)),
    )


def _column(row: dict[str, Any]) -> SeenColumn:
    return SeenColumn(**{name: row[name] for name in SeenColumn.__struct_fields__})


def _foreign_key(row: dict[str, Any]) -> SeenForeignKey:
    return SeenForeignKey(
        columns=tuple(row["columns"]),
        parent=row["parent"],
        parent_columns=tuple(row["parent_columns"]),
        deferrable=row["deferrable"],
        on_delete=FOREIGN_KEY_ACTIONS.get(row["action"], "set default"),
    )


def _publication(rows: list[dict[str, Any]]) -> SeenPublication | None:
    if not rows:
        return None
    options = rows[0]["p"]
    operations = ("insert", "update", "delete", "truncate")
    return SeenPublication(
        name=options["pubname"],
        lacks=tuple(name for name in operations if not options[f"pub{name}"]),
        via_root=options["pubviaroot"],
        stored_columns=options.get("pubgencols") == "s",
    )


def _row_security(session: Session, seen: Seen, role: str | None) -> Iterator[Problem]:
    """A snapshot by a role that row security binds would be empty, and look healthy (FM-55)."""
    if role is None or any(row["sees_all"] for row in _rows(session, _ROLE, role)):
        return
    for table in seen.tables.values():
        if table.row_security:
            yield Problem(
                table=table.name,
                what=f"its row security would hide rows from {role}, who takes the snapshot",
                cure_sql=f"ALTER ROLE {role} BYPASSRLS;",
            )


def _try(session: Session, table: Table) -> Iterator[Problem]:
    """Try an UPDATE and a DELETE that hit no row; what Postgres refuses can't be captured."""
    column = next(c.name for c in table.columns if c.given_by not in {"identity", "generated"})
    name = quoted(table.name)
    for statement in (
        f'UPDATE {name} SET "{column}" = "{column}" WHERE ctid = \'(0,0)\'',
        f"DELETE FROM {name} WHERE ctid = '(0,0)'",
    ):
        try:
            with session.transaction(force_rollback=True):
                session.execute(statement.encode())
        except psycopg.Error as error:
            detail = error.diag.message_detail or ""
            yield Problem(
                table=table.name,
                what=f"{statement.split()[0]} is refused: {error.diag.message_primary} {detail}".strip(),
                cure_sql=f"ALTER TABLE {name} REPLICA IDENTITY FULL;",
            )


def _rows(session: Session, query: str, *arguments: object) -> list[dict[str, Any]]:
    return session.execute(query.encode(), arguments or None).fetchall()


def _by_table(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["oid"], []).append(row)
    return found
