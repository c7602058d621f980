"""The judge beside brute force, on as many tiny histories as one likes; the test run compares fewer."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console

from chaos_tests.offline.test_judge_brute_force import compare


def brute_force(histories: int, first: int, console: Console) -> bool:
    """Compare both on that many histories, numbered from ``first``; return whether they always agreed."""
    seen: Counter[str] = Counter()
    differing = 0
    began_s = time.process_time()
    for seed in range(first, first + histories):
        try:
            compare(seed, seen)
        except AssertionError as difference:
            differing += 1
            console.print(f"    {difference}")
    spent_s = time.process_time() - began_s
    console.print(
        f"{histories} tiny histories in {spent_s:.0f} s: judged otherwise {differing}; {dict(seen)}"
    )
    return differing == 0
