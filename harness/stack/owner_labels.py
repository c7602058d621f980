"""How each container, network and volume of an engine names its stack, and the process behind it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.stack import owner as owners

STACK = "restoreproof.stack"
OWNER = "restoreproof.owner"


def of_stack(stack_id: str) -> dict[str, str]:
    """Return the labels of everything that this process makes for a stack."""
    return {STACK: stack_id, OWNER: str(owners.this_process())}


def is_left_behind(labels: Mapping[str, str], *, same_machine: bool) -> bool:
    """Whether what carries these labels has an owner that is gone for certain.

    ``same_machine``: whether the engine serves only processes of this machine. A distant one serves others,
    whose owners can't be told from those of an earlier boot.
    """
    owner = owners.read(labels.get(OWNER, ""))
    if owner is None:
        return False
    if not same_machine and owner.boot_id != owners.this_process().boot_id:
        return False
    return owner.is_dead
