"""Names of the files in a run folder, so that who writes and who reads agree. No I/O here."""

from __future__ import annotations

PLAN = "plan.json"
SCHEMA = "schema.json"
ENVIRONMENT = "environment.json"
HISTORY = "history.jsonl"
STAGES = "stages.jsonl"
RESTORED = "restored"
LOGS = "logs"
VERDICT = "verdict.json"
REPORT = "report.html"
CAMPAIGN = "campaign.json"


def restored_file(tenant: str) -> str:
    """Return the file, relative to the run folder, that holds a tenant's rows read back."""
    return f"{RESTORED}/{_safe(tenant)}.jsonl"


def copy_file(copy: int, tenant: str) -> str:
    """Return the file that holds a tenant's rows as restored from copy number ``copy`` of the bucket."""
    return f"{RESTORED}/@copy-{copy}-{_safe(tenant)}.jsonl"


def witness_file(restore: int, tenant: str) -> str:
    """Return the file that holds a tenant's rows as the second witness has them at the cut of a restore."""
    return f"{RESTORED}/@witness-{restore}-{_safe(tenant)}.jsonl"


def _safe(tenant: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):x}" for c in tenant)


SHARED_FILE = f"{RESTORED}/@shared.jsonl"
"""Rows of shared and infrastructure tables, read with the final reading (restore 0)."""
