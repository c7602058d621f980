"""The SQL by which a database tells of its DDL: event triggers that write transactional logical messages.

Logical decoding carries no DDL, so the database says it itself, inside the transaction that does it and
in its order: ``restoreproof.ddl`` names tables as they are dropped and shapes as they become, and at the
end of the transaction a digest of the catalogue. Where rows come or go with no event of their own (a
partition that is attached or detached, a table rewritten), ``restoreproof.clear`` and ``restoreproof.row``
tell the whole table anew. The triggers are ENABLE ALWAYS, and never stand in the way of the DDL: when one
of them fails it warns, and the digest that each heartbeat carries gives away what it left out.
"""

from __future__ import annotations

DDL_PREFIX = "restoreproof.ddl"
CLEAR_PREFIX = "restoreproof.clear"
ROW_PREFIX = "restoreproof.row"
EVENT_TRIGGERS = ("restoreproof_ddl", "restoreproof_drop", "restoreproof_rewrite")

_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'restoreproof')"

_DIGEST = f"""\
CREATE OR REPLACE FUNCTION restoreproof.catalogue_digest() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $digest$
WITH ours AS (
    SELECT c.oid, c.relkind, c.relreplident, c.relpersistence
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {_OURS}
), lines (line) AS (
    SELECT format('table %s %s %s identity %s in %s', oid::regclass, relkind, relpersistence, relreplident,
        (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = oid LIMIT 1)) FROM ours
    UNION ALL
    SELECT format('column %s %I %s %s %s %s %s', attrelid::regclass, attname,
        format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
        pg_get_expr(adbin, adrelid))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid IN (SELECT oid FROM ours) AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('constraint %s %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('trigger %s %I %s', tgrelid::regclass, CASE WHEN tgisinternal THEN '' ELSE tgname END,
        tgenabled)
    FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours) AND (NOT tgisinternal OR tgenabled <> 'O')
    UNION ALL
    SELECT format('published %I %s %s %s', pubname, prrelid::regclass, prattrs, prqual IS NULL)
    FROM pg_publication_rel JOIN pg_publication AS p ON p.oid = prpubid
    UNION ALL
    SELECT format('publication %s', to_jsonb(p) - 'oid' - 'pubowner') FROM pg_publication AS p
    UNION ALL
    SELECT format('event trigger %I %s', evtname, evtenabled) FROM pg_event_trigger
    WHERE evtname LIKE 'restoreproof%'
    UNION ALL
    SELECT format('enum %s %s', enumtypid::regtype, array_agg(enumlabel ORDER BY enumsortorder))
    FROM pg_enum GROUP BY enumtypid
)
SELECT left(encode(sha256(convert_to(
    string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex'), 32) FROM lines
$digest$;
"""

_SHAPE = """\
CREATE OR REPLACE FUNCTION restoreproof.shape(of oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog AS $shape$
SELECT jsonb_build_object('table', n.nspname || '.' || c.relname, 'columns', (
    SELECT jsonb_agg(jsonb_build_object('number', attnum, 'name', attname,
        'type', format_type(atttypid, atttypmod), 'nullable', NOT attnotnull, 'given_by', CASE
            WHEN attgenerated <> '' THEN 'generated' WHEN attidentity <> '' THEN 'identity'
            WHEN NOT atthasdef THEN 'client'
            WHEN pg_get_expr(adbin, adrelid) LIKE 'nextval(%' THEN 'serial' ELSE 'default' END,
        'missing', CASE WHEN atthasmissing
            THEN (SELECT format('%s', value) FROM unnest(attmissingval::text::text[]) AS value) END)
        ORDER BY attnum)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), 'key', (
    SELECT coalesce(jsonb_agg(a.attname ORDER BY k.place), '[]') FROM pg_index AS i,
        unnest(i.indkey) WITH ORDINALITY AS k (number, place), pg_attribute AS a
    WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.number), 'checks', (
    SELECT coalesce(jsonb_agg(pg_get_constraintdef(oid) ORDER BY conname), '[]') FROM pg_constraint
    WHERE conrelid = c.oid AND contype = 'c' AND convalidated))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = of
$shape$;
"""

_TELL = f"""\
CREATE OR REPLACE FUNCTION restoreproof.tell(told regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC'
SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex'
SET extra_float_digits = 1 AS $tell$
DECLARE
    named text;
    names text;
    cells text;
    cell_by_name json;
BEGIN
    SELECT n.nspname || '.' || c.relname INTO named
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = told;
    PERFORM pg_logical_emit_message(true, '{CLEAR_PREFIX}', json_build_object('table', named)::text);
    SELECT string_agg(format('%L', attname), ', ' ORDER BY attnum),
        string_agg(format('CASE WHEN num_nulls(t.%1$I) = 0 THEN format(''%%s'', t.%1$I) END', attname), ', '
            ORDER BY attnum)
    INTO names, cells FROM pg_attribute WHERE attrelid = told AND attnum > 0 AND NOT attisdropped;
    FOR cell_by_name IN EXECUTE
        format('SELECT json_object(ARRAY[%s]::text[], ARRAY[%s]::text[]) FROM %s AS t', names, cells, told)
    LOOP
        PERFORM pg_logical_emit_message(true, '{ROW_PREFIX}',
            json_build_object('table', named, 'row', cell_by_name)::text);
    END LOOP;
END
$tell$;
REVOKE EXECUTE ON FUNCTION restoreproof.tell(regclass) FROM PUBLIC;
"""

_LOG = """\
CREATE TABLE IF NOT EXISTS restoreproof.ddl (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    role text NOT NULL DEFAULT session_user,
    tag text NOT NULL,
    CONSTRAINT ddl_xid UNIQUE (xid, id)
);
CREATE TABLE IF NOT EXISTS restoreproof.known (oid oid PRIMARY KEY, shape jsonb NOT NULL);
"""

_LEAVES = """\
CREATE TABLE IF NOT EXISTS restoreproof.leaf (root text NOT NULL, leaf text NOT NULL,
    PRIMARY KEY (root, leaf));
CREATE OR REPLACE FUNCTION restoreproof.follow_leaves() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $leaves$
DECLARE
    one record;
    filled boolean;
    anew regclass[] := '{{}}';
BEGIN
    PERFORM set_config('restoreproof.busy', 'yes', true);
    -- rows that go with a partition, or come with one, leave no events: such a table is told anew
    FOR one IN
        WITH now AS (
            SELECT r.prrelid::regclass AS root, t.relid AS leaf
            FROM pg_publication_rel AS r JOIN pg_publication AS p ON p.oid = r.prpubid,
                LATERAL pg_partition_tree(r.prrelid) AS t
            WHERE p.pubname = '{publication}' AND t.isleaf AND t.level > 0
        )
        SELECT coalesce(now.root, to_regclass(was.root)) AS root, now.leaf, was.leaf AS known
        FROM now FULL JOIN restoreproof.leaf AS was
            ON was.root = now.root::text AND was.leaf = now.leaf::text
        WHERE was.leaf IS NULL OR now.leaf IS NULL
    LOOP
        IF one.leaf IS NOT NULL THEN
            INSERT INTO restoreproof.leaf VALUES (one.root::text, one.leaf::text);
            IF (SELECT relreplident <> 'f' FROM pg_class WHERE oid = one.leaf) THEN
                EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', one.leaf);
            END IF;
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', one.leaf) INTO filled;
        ELSE
            DELETE FROM restoreproof.leaf WHERE leaf = one.known;
            filled := EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = one.root);
        END IF;
        IF filled AND one.root <> ALL (anew) THEN
            anew := anew || one.root;
        END IF;
    END LOOP;
    PERFORM restoreproof.tell(root) FROM unnest(anew) AS root;
    PERFORM set_config('restoreproof.busy', '', true);
END
$leaves$;
REVOKE EXECUTE ON FUNCTION restoreproof.follow_leaves() FROM PUBLIC;
"""

_TRIGGERS = f"""\
CREATE OR REPLACE FUNCTION restoreproof.end_ddl() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $end$
BEGIN
    IF NOT EXISTS (SELECT FROM restoreproof.ddl WHERE xid = NEW.xid AND id > NEW.id) THEN
        PERFORM pg_logical_emit_message(true, '{DDL_PREFIX}',
            json_build_object('tag', NEW.tag, 'catalogue', restoreproof.catalogue_digest(), 'tables', (
                SELECT coalesce(json_agg(n.nspname || '.' || c.relname ORDER BY 1), '[]')
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
                    AND {_OURS}))::text);
    END IF;
    RETURN NULL;
EXCEPTION WHEN others THEN
    RAISE WARNING 'restoreproof: the backup was not told of %: %', NEW.tag, SQLERRM;
    RETURN NULL;
END
$end$;
CREATE OR REPLACE FUNCTION restoreproof.on_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $ddl$
DECLARE
    dropped json;
    altered json;
    rewritten regclass;
BEGIN
    IF coalesce(current_setting('restoreproof.busy', true), '') = 'yes' THEN
        RETURN;  -- our own ALTER
    END IF;
    IF TG_EVENT = 'table_rewrite' THEN
        rewritten := coalesce(pg_partition_root(pg_event_trigger_table_rewrite_oid()),
            pg_event_trigger_table_rewrite_oid());
        PERFORM set_config('restoreproof.rewritten', concat_ws(' ',
            nullif(current_setting('restoreproof.rewritten', true), ''), rewritten::oid), true);
        RETURN;
    ELSIF TG_EVENT = 'sql_drop' THEN
        SELECT json_agg(schema_name || '.' || object_name) INTO dropped
        FROM pg_event_trigger_dropped_objects()
        WHERE object_type = 'table' AND NOT is_temporary AND schema_name <> 'restoreproof';
        IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects()
                WHERE NOT is_temporary AND schema_name IS DISTINCT FROM 'restoreproof') THEN
            RETURN;
        END IF;
    ELSE
        WITH touched AS (
            SELECT DISTINCT coalesce(pg_partition_root(c.oid), c.oid)::oid AS oid
            FROM pg_event_trigger_ddl_commands() AS d
                JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
            WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
                AND c.relnamespace <> to_regnamespace('restoreproof')
        ), changed AS (
            SELECT t.oid, k.shape AS was, restoreproof.shape(t.oid) AS now
            FROM touched AS t LEFT JOIN restoreproof.known AS k ON k.oid = t.oid
        ), noted AS (
            INSERT INTO restoreproof.known SELECT oid, now FROM changed WHERE was IS DISTINCT FROM now
            ON CONFLICT (oid) DO UPDATE SET shape = excluded.shape
        )
        SELECT json_agg(json_build_object('was', was, 'now', now)) INTO altered
        FROM changed WHERE was IS DISTINCT FROM now;
    END IF;
    IF dropped IS NOT NULL OR altered IS NOT NULL THEN
        PERFORM pg_logical_emit_message(true, '{DDL_PREFIX}', json_strip_nulls(
            json_build_object('tag', TG_TAG, 'dropped', dropped, 'altered', altered))::text);
    END IF;
    IF TG_EVENT = 'ddl_command_end' THEN
        PERFORM set_config('restoreproof.busy', 'yes', true);
        PERFORM restoreproof.tell(told.oid::oid::regclass) FROM regexp_split_to_table(
            nullif(current_setting('restoreproof.rewritten', true), ''), ' ') AS told (oid)
        WHERE EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = told.oid::oid);
        PERFORM set_config('restoreproof.rewritten', '', true);
        PERFORM restoreproof.follow_leaves();
        PERFORM set_config('restoreproof.busy', '', true);
    END IF;
    IF TG_EVENT = 'sql_drop' OR EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
            WHERE coalesce(schema_name, '') NOT IN ('pg_temp', 'restoreproof')) THEN
        INSERT INTO restoreproof.ddl (tag) VALUES (TG_TAG);
    END IF;
EXCEPTION WHEN others THEN
    RAISE WARNING 'restoreproof: the backup was not told of %: %', TG_TAG, SQLERRM;
END
$ddl$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger
            WHERE tgname = 'ddl_end' AND tgrelid = 'restoreproof.ddl'::regclass) THEN
        CREATE CONSTRAINT TRIGGER ddl_end AFTER INSERT ON restoreproof.ddl
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION restoreproof.end_ddl();
        ALTER TABLE restoreproof.ddl ENABLE ALWAYS TRIGGER ddl_end;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'restoreproof_ddl') THEN
        CREATE EVENT TRIGGER restoreproof_ddl ON ddl_command_end EXECUTE FUNCTION restoreproof.on_ddl();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'restoreproof_drop') THEN
        CREATE EVENT TRIGGER restoreproof_drop ON sql_drop EXECUTE FUNCTION restoreproof.on_ddl();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'restoreproof_rewrite') THEN
        CREATE EVENT TRIGGER restoreproof_rewrite ON table_rewrite EXECUTE FUNCTION restoreproof.on_ddl();
    END IF;
END
$$;
ALTER EVENT TRIGGER restoreproof_ddl ENABLE ALWAYS;
ALTER EVENT TRIGGER restoreproof_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER restoreproof_rewrite ENABLE ALWAYS;
SELECT restoreproof.follow_leaves();
DELETE FROM restoreproof.known;
INSERT INTO restoreproof.known SELECT c.oid, restoreproof.shape(c.oid) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition AND {_OURS};
INSERT INTO restoreproof.ddl (tag) VALUES ('CAPTURE');
"""


def functions_sql() -> str:
    """Return what must be there before the heartbeat is stamped."""
    return f"{_LOG}\n{_DIGEST}\n{_SHAPE}\n{_TELL}"


def event_triggers_sql(publication: str) -> str:
    """Return the triggers' SQL, for after the publication; may be run again at any time."""
    leaves = _LEAVES.format(publication=publication.replace("'", "''"))
    return f"{leaves}\n{_TRIGGERS}"
