"""The SQL that prepares a database for change capture, as text. Pure; a superuser runs it.

It makes the backup system's own schema with the heartbeat and the place for rows set aside, publishes all
declared tables with full row images, installs the event triggers that tell of DDL, and may be run again at
any time: what is there already stays, what is missing is added, and the heartbeat row is stamped with the
cluster it lies in.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.schema import Schema
from harness.subject.reference.event_triggers import event_triggers_sql, functions_sql

PUBLICATION = "restoreproof_pub"
HEARTBEAT = "restoreproof.heartbeat"
SET_ASIDE = "restoreproof.set_aside"

IDENTITY_SQL = """\
SELECT system_identifier::text AS system_id,
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer AS timeline
FROM pg_control_system()"""
"""Who this cluster is. The timeline is that of the WAL being written: the control file's may lag behind."""

_OWN_TABLES = f"""\
CREATE SCHEMA IF NOT EXISTS restoreproof;
CREATE TABLE IF NOT EXISTS {HEARTBEAT} (
    id integer PRIMARY KEY,
    system_id text NOT NULL,
    timeline integer NOT NULL,
    beat bigint NOT NULL,
    at timestamptz NOT NULL
);
ALTER TABLE {HEARTBEAT} ADD COLUMN IF NOT EXISTS forked_at text;
CREATE OR REPLACE FUNCTION restoreproof.forked_at() RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT substring(pg_read_file(file, 0, 1048576, true) FROM '\\t([0-9A-F]+/[0-9A-F]+)\\t[^\\n]*\\n*$')
    FROM (SELECT 'pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history') AS of (file)
$$;
COMMENT ON FUNCTION restoreproof.forked_at IS 'where this timeline forked off, NULL for the first one';
ALTER TABLE {HEARTBEAT} ADD COLUMN IF NOT EXISTS catalogue text NOT NULL DEFAULT '';
ALTER TABLE {HEARTBEAT} ADD COLUMN IF NOT EXISTS asked bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN {HEARTBEAT}.asked IS 'which snapshot was asked for last: a later one has a larger number';
ALTER TABLE {HEARTBEAT} REPLICA IDENTITY FULL;
CREATE TABLE IF NOT EXISTS {SET_ASIDE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL,
    table_name text NOT NULL,
    row jsonb NOT NULL
);
COMMENT ON COLUMN {SET_ASIDE}.row IS 'column to text as Postgres prints it, or null';
"""

ASK_SQL = f"""\
UPDATE {HEARTBEAT} SET asked = greatest(asked + 1, extract(epoch FROM clock_timestamp())::bigint)
    WHERE id = 1 RETURNING asked"""
"""Ask for a snapshot: it will carry the number. One taken from the clock is also larger than any before it
in a database that was taken back to an earlier state, by a failover or a backup.
"""

_STAMP = f"""\
INSERT INTO {HEARTBEAT} (id, system_id, timeline, beat, at, forked_at, catalogue)
SELECT 1, system_id, timeline, 0, clock_timestamp(), restoreproof.forked_at(),
    restoreproof.catalogue_digest()
FROM ({IDENTITY_SQL}) AS cluster
ON CONFLICT (id) DO UPDATE SET system_id = excluded.system_id, timeline = excluded.timeline,
    forked_at = excluded.forked_at, catalogue = excluded.catalogue;
"""

_FULL_IMAGES = """\
DO $$
DECLARE
    roots regclass[] := ARRAY[{tables}];
    leaf regclass;
BEGIN
    -- ALTER on a partitioned table leaves its leaves as they are, so each is altered by itself
    FOR leaf IN
        SELECT oid FROM pg_class
        WHERE relreplident <> 'f' AND (oid = ANY (roots) OR oid IN (
            SELECT relid FROM unnest(roots) AS root, LATERAL pg_partition_tree(root)))
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', leaf);
    END LOOP;
END
$$;
"""

_PUBLICATION = """\
DO $$
DECLARE
    fresh regclass[];
    one regclass;
    options text := 'publish_via_partition_root = true, publish = ''insert, update, delete, truncate''';
BEGIN
    IF current_setting('server_version_num')::integer >= 180000 THEN
        options := options || ', publish_generated_columns = stored';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = '{publication}') THEN
        EXECUTE format('CREATE PUBLICATION {publication} FOR TABLE {tables} WITH (%s)', options);
    ELSE
        -- what is published from now on is locked and told, so that no row of it is missed (FM-33, FM-56)
        SELECT array_agg(named) INTO fresh FROM unnest(ARRAY[{listed}]::regclass[]) AS named
        WHERE named NOT IN (SELECT prrelid FROM pg_publication_rel AS r JOIN pg_publication AS p
            ON p.oid = r.prpubid WHERE p.pubname = '{publication}');
        FOREACH one IN ARRAY coalesce(fresh, '{{}}') LOOP
            EXECUTE format('LOCK TABLE %s IN SHARE MODE', one);
        END LOOP;
        EXECUTE 'ALTER PUBLICATION {publication} SET TABLE {tables}';
        PERFORM restoreproof.tell(named) FROM unnest(fresh) AS named;
        EXECUTE format('ALTER PUBLICATION {publication} SET (%s)', options);
    END IF;
END
$$;
"""


def capture_sql(
    schema: Schema, *, publication: str = PUBLICATION, heartbeat_role: str | None = None
) -> str:
    """Return the script; ``heartbeat_role`` is the role, if not a superuser, that writes heartbeats."""
    tables = [*(table.name for table in schema.tables), HEARTBEAT]
    grants = f"GRANT USAGE ON SCHEMA restoreproof TO {heartbeat_role};\n" if heartbeat_role else ""
    if heartbeat_role:
        grants += f"GRANT SELECT, INSERT, UPDATE ON {HEARTBEAT} TO {heartbeat_role};\n"
    return "\n".join(
        [
            _OWN_TABLES + grants,
            functions_sql(),
            full_images_sql(tables),
            _PUBLICATION.format(
                publication=publication,
                tables=", ".join(map(_qualified, tables)).replace("'", "''"),
                listed=_literals(tables),
            ),
            event_triggers_sql(publication),
            _STAMP,
        ]
    )


def full_images_sql(tables: Sequence[str]) -> str:
    """Return SQL that gives tables, and every leaf partition of theirs, REPLICA IDENTITY FULL."""
    return _FULL_IMAGES.format(tables=_literals(tables))


def _literals(tables: Sequence[str]) -> str:
    return ", ".join("'" + _qualified(table).replace("'", "''") + "'" for table in tables)


def _qualified(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split(".", 1))
