"""The drive's ports on real services: Postgres by psycopg, the bucket by minio, machinery by a stack."""
