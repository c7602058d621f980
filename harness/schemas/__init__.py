"""Reference schemas: each folder holds ``schema.sql`` and ``schema.toml``; nothing else knows their names."""
