"""The catalogue as text: everything about a database's shape that a restore must leave as it was.

Each query gives lines that hold names and definitions, no object ids, so that the same schema gives the
same lines in another cluster. Schemas of the system and the backup system's own are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

OWN_SCHEMA = "restoreproof"

_RELATION = f"""
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
"""

QUERIES: dict[str, str] = {
    "schema": f"""
SELECT format('%I owner %I %s', nspname, pg_get_userbyid(nspowner), nspacl)
FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
""",
    "relation": f"""
SELECT format('%I.%I %s %s identity %s owner %I acl %s rls %s %s options %s bound %s', n.nspname, c.relname,
    c.relkind, c.relpersistence, c.relreplident, pg_get_userbyid(c.relowner), c.relacl, c.relrowsecurity,
    c.relforcerowsecurity, c.reloptions, pg_get_expr(c.relpartbound, c.oid))
{_RELATION} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
""",
    "column": f"""
SELECT format('%I.%I.%I %s %s notnull %s identity %s generated %s default %s collation %s storage %s',
    n.nspname, c.relname, a.attname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
    pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation, a.attstorage)
FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
JOIN LATERAL (SELECT c.oid, c.relname, c.relnamespace, c.relkind FROM pg_class AS c
    WHERE c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')) AS c ON true
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
    AND a.attnum > 0 AND NOT a.attisdropped
""",
    "constraint": """
SELECT format('%s %I %s %s validated %s deferrable %s deferred %s', conrelid::regclass, conname, contype,
    pg_get_constraintdef(k.oid), convalidated, condeferrable, condeferred)
FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{own}')
""".replace("{own}", OWN_SCHEMA),
    "index": f"""
SELECT format('%s valid %s ready %s identity %s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready,
    i.indisreplident)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
""",
    "trigger": f"""
SELECT format('%I.%I enabled %s %s', n.nspname, c.relname, t.tgenabled,
    CASE WHEN t.tgisinternal
        THEN coalesce((SELECT conname FROM pg_constraint WHERE oid = t.tgconstraint), '') || ' '
            || t.tgfoid::regproc
        ELSE pg_get_triggerdef(t.oid) END)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
""",
    "event trigger": "SELECT format('%I %s %s', evtname, evtevent, evtenabled) FROM pg_event_trigger",
    "rule and policy": f"""
SELECT format('%I.%I %s', schemaname, tablename, definition) FROM pg_rules
WHERE schemaname !~ '^pg_' AND schemaname NOT IN ('information_schema', '{OWN_SCHEMA}')
UNION ALL
SELECT format('%I.%I %I %s %s', schemaname, tablename, policyname, qual, with_check) FROM pg_policies
""",
    "type": f"""
SELECT format('%s %s base %s notnull %s labels %s', t.oid::regtype, t.typtype,
    format_type(t.typbasetype, t.typtypmod), t.typnotnull,
    ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder))
FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
""",
    "function": f"""
SELECT pg_get_functiondef(p.oid)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prokind IN ('f', 'p') AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}')
""",
    "sequence": f"""
SELECT format('%I.%I %s start %s by %s max %s cycle %s', schemaname, sequencename, data_type, start_value,
    increment_by, max_value, cycle)
FROM pg_sequences
WHERE schemaname !~ '^pg_' AND schemaname NOT IN ('information_schema', '{OWN_SCHEMA}')
""",
    "publication": """
SELECT format('%I %s', pubname, to_jsonb(p) - 'oid' - 'pubowner') FROM pg_publication AS p
""",
    "published": f"""
SELECT format('%I %I.%I %s %s', p.pubname, p.schemaname, p.tablename, p.attnames, p.rowfilter)
FROM pg_publication_tables AS p WHERE p.schemaname <> '{OWN_SCHEMA}'
UNION ALL
SELECT format('%I lists %s', p.pubname, r.prrelid::regclass) FROM pg_publication_rel AS r
JOIN pg_publication AS p ON p.oid = r.prpubid
JOIN pg_class AS c ON c.oid = r.prrelid WHERE c.relnamespace::regnamespace::text <> '{OWN_SCHEMA}'
""",
}
"""What is asked, by what a line begins with."""


def digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of the lines, whatever their order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
