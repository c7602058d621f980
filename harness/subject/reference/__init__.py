"""The reference backup system: per-tenant archive and restore for stock Postgres.

Archiver and restorer are written against three ports (``ports.py``): change feed, object store, target
database. The same code runs on Kafka, S3 and Postgres (``adapters``) and inside the simulator.
"""
