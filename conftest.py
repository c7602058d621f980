"""Fixtures of this repository's own suites: one plugin module per subject, in ``fixtures/``."""

pytest_plugins = ("fixtures.minio", "fixtures.postgres", "fixtures.stack")
