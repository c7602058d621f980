"""``make bench``: measure, print each figure beside its limit, end with 1 when one is not held.

``python -m chaos_tests.bench failover --crashes 10 --host containers`` crashes primaries instead, and
``python -m chaos_tests.bench kills --times 5`` kills pytest in mid-drill and looks at what it left.
``python -m chaos_tests.bench losing --planted debezium-3.6.1 --seeds 1 2 3`` runs random campaigns on
programs that lose data, each until a drill is broken; without ``--planted`` none may be.
``python -m chaos_tests.bench oracle`` judges a run of a million operations, and
``python -m chaos_tests.bench brute-force`` tiny ones as brute force does; neither needs a service.
``python -m chaos_tests.bench mutants`` (``make mutants``) changes the judge, and sees whether tests notice.
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

from chaos_tests.bench import measure, mutants
from chaos_tests.bench.brute_force import brute_force
from chaos_tests.bench.failover import failover
from chaos_tests.bench.kills import kills
from chaos_tests.bench.losing import LIMIT_S, PLANS_MAX, Within, losing
from chaos_tests.bench.oracle import oracle
from harness.stack.host import HostName
from harness.stack.options import StackOptions
from harness.stack.programs.planted import PLANTED
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
    if asked.what == "losing":
        within = Within(plans=asked.plans, limit_s=asked.limit_s)
        return 0 if losing(options, asked.planted, asked.seeds, within, console, asked.out) else 1
    if asked.what in OF_THE_JUDGE:
        return 0 if _of_the_judge(asked, console) else 1
    return 0 if _limits_hold(options, console) else 1


OF_THE_JUDGE = ("oracle", "brute-force", "mutants")
"""What needs no service."""


def _of_the_judge(asked: argparse.Namespace, console: Console) -> bool:
    if asked.what == "oracle":
        return oracle(asked.operations, asked.tenants, console, times=asked.times)
    if asked.what == "brute-force":
        return brute_force(asked.histories, asked.first, console)
    return mutants.mutants(asked.mutated, asked.tests, asked.tool, console)


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
    lost = commands.add_parser("losing", help="random campaigns on programs that lose data")
    lost.set_defaults(what="losing")
    lost.add_argument("--planted", choices=sorted(PLANTED), default="")
    lost.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    lost.add_argument("--plans", type=int, default=PLANS_MAX)
    lost.add_argument("--limit-s", type=float, default=LIMIT_S)
    lost.add_argument("--out", type=Path, default=Path("runs"))
    _judge_arguments(commands)
    return parser


def _judge_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    brute = commands.add_parser("brute-force", help="the judge beside brute force; needs no service")
    brute.set_defaults(what="brute-force")
    brute.add_argument("--histories", type=int, default=100_000)
    brute.add_argument("--first", type=int, default=0, help="the number of the first history")
    changed = commands.add_parser("mutants", help="change the judge's source: its tests must notice")
    changed.set_defaults(what="mutants")
    changed.add_argument("--mutated", nargs="+", default=mutants.MUTATED)
    changed.add_argument("--tests", nargs="+", default=mutants.TESTS)
    changed.add_argument("--tool", type=Path, default=mutants.TOOL, help="a Python that has mutmut")
    judged = commands.add_parser("oracle", help="judge a run of a million operations; needs no service")
    judged.set_defaults(what="oracle")
    judged.add_argument("--operations", type=int, default=1_000_000)
    judged.add_argument("--tenants", type=int, default=1000)
    judged.add_argument("--times", type=int, default=1, help="the fastest of so many counts")


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
