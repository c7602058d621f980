"""``make bench``: measure, print each figure beside its limit, end with 1 when one is not held.

``python -m chaos_tests.bench failover --crashes 10 --host containers`` crashes primaries instead, and
``python -m chaos_tests.bench kills --times 5`` kills pytest in mid-drill and looks at what it left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console

from chaos_tests.bench import measure
from chaos_tests.bench.failover import failover
from chaos_tests.bench.kills import kills
from harness.stack.host import HostName
from harness.stack.options import StackOptions
from harness.stack.settings import stack_options


def main() -> int:
    """Measure what was asked for; return 0 when all limits held."""
    asked = _arguments().parse_args()
    console = Console(highlight=False)
    options = stack_options(asked.host)
    if asked.what == "failover":
        options = msgspec.structs.replace(options, logs=asked.logs)
        return 0 if failover(options, asked.crashes, console, unguarded=asked.unguarded) else 1
    if asked.what == "kills":
        return 0 if kills(options, asked.times, console) else 1
    return 0 if _limits_hold(options, console) else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos_tests.bench")
    parser.set_defaults(what="limits")
    parser.add_argument("--host", choices=get_args(HostName), default="local")
    commands = parser.add_subparsers()
    crashes = commands.add_parser("failover", help="crash the primary again and again, under load")
    crashes.set_defaults(what="failover")
    crashes.add_argument("--crashes", type=int, default=10)
    crashes.add_argument("--host", choices=get_args(HostName), default=argparse.SUPPRESS)
    crashes.add_argument("--unguarded", action="store_true", help="plant ghosts, which must be found")
    crashes.add_argument("--logs", type=Path, help="a folder for the services' logs")
    killed = commands.add_parser("kills", help="kill pytest in mid-drill, and look at what it left")
    killed.set_defaults(what="kills")
    killed.add_argument("--times", type=int, default=5)
    killed.add_argument("--host", choices=get_args(HostName), default=argparse.SUPPRESS)
    return parser


def _limits_hold(options: StackOptions, console: Console) -> bool:
    held = True
    with tempfile.TemporaryDirectory(prefix="restoreproof-bench-") as out:
        takes: tuple[Callable[[], list[measure.Figure]], ...] = (
            lambda: [measure.start(options, 5)],
            lambda: measure.drills(options, Path(out)),
            lambda: [measure.bytes_read(options)],
        )
        for take in takes:
            for figure in take():
                mark = "held" if figure.held else "NOT HELD"
                console.print(f"{figure.what}:\n    {figure.value}; {figure.limit}: {mark}")
                held = held and figure.held
    return held


if __name__ == "__main__":
    sys.exit(main())
