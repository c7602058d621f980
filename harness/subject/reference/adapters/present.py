"""Which items a database has, and which foreign keys are not valid in it, by ``rebuild.Item.id``."""

from __future__ import annotations

_TABLE_KINDS = """CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
    WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' ELSE 'TABLE' END"""

NOT_VALID = """\
SELECT concat_ws(' ', 'FK CONSTRAINT', nspname, relname, conname) AS id
FROM pg_constraint JOIN pg_class AS c ON c.oid = conrelid JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE contype = 'f' AND NOT convalidated"""

PRESENT = f"""\
SELECT concat_ws(' ', 'SCHEMA -', nspname) AS id FROM pg_namespace
UNION ALL SELECT concat_ws(' ', 'EXTENSION -', extname) FROM pg_extension
UNION ALL SELECT concat_ws(' ', CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, nspname, typname)
    FROM pg_type JOIN pg_namespace AS n ON n.oid = typnamespace WHERE typtype IN ('d', 'e', 'c', 'r', 'b')
UNION ALL SELECT concat_ws(' ', CASE prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE'
        ELSE 'FUNCTION' END, nspname, proname || '(' || oidvectortypes(proargtypes) || ')')
    FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace
UNION ALL SELECT concat_ws(' ', 'COLLATION', nspname, collname)
    FROM pg_collation JOIN pg_namespace AS n ON n.oid = collnamespace
UNION ALL SELECT concat_ws(' ', {_TABLE_KINDS}, nspname, relname)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
UNION ALL SELECT concat_ws(' ', CASE WHEN c.relkind IN ('i', 'I') THEN 'INDEX ATTACH' ELSE 'TABLE ATTACH'
        END, nspname, relname)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.relispartition
UNION ALL SELECT concat_ws(' ', CASE contype WHEN 'f' THEN 'FK CONSTRAINT' WHEN 'c' THEN 'CHECK CONSTRAINT'
        ELSE 'CONSTRAINT' END, nspname, relname, conname)
    FROM pg_constraint JOIN pg_class AS c ON c.oid = conrelid JOIN pg_namespace AS n ON n.oid = relnamespace
UNION ALL SELECT concat_ws(' ', 'DEFAULT', nspname, relname, attname)
    FROM pg_attrdef JOIN pg_class AS c ON c.oid = adrelid JOIN pg_namespace AS n ON n.oid = relnamespace
    JOIN pg_attribute AS a ON a.attrelid = adrelid AND a.attnum = adnum
UNION ALL SELECT concat_ws(' ', 'TRIGGER', nspname, relname, tgname)
    FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE NOT tgisinternal
UNION ALL SELECT concat_ws(' ', 'PUBLICATION -', pubname) FROM pg_publication
UNION ALL SELECT concat_ws(' ', 'PUBLICATION TABLE', nspname, pubname, relname)
    FROM pg_publication_rel JOIN pg_publication AS p ON p.oid = prpubid
    JOIN pg_class AS c ON c.oid = prrelid JOIN pg_namespace AS n ON n.oid = relnamespace
UNION ALL SELECT concat_ws(' ', 'EVENT TRIGGER -', evtname) FROM pg_event_trigger
"""
