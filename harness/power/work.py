"""All trials in order, over the cores; what is done already is not done again.

Results are appended to ``trials-<code>.jsonl`` as they come, one line each, by this process alone. The name
holds a digest of the program's source: results of another program are left where they are, and don't count.
Ctrl-C lets the units at work come to their end (some seconds) and keeps them.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import msgspec

from harness.model import plan as plans
from harness.model.power import Asked, Clean, Entry, Small, Trial, decode_entries, encode_entry
from harness.power import trials
from harness.simulate.defects import defect

TOGETHER = 6
"""Defects in one unit of work: they share the plans of a trial, drawn once."""

BATCH = 30
"""Plans without a defect in one unit: a campaign as long as a trial's."""

ALLOCATIONS_PER_COLLECTION = 50_000


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Work for one process: trials of some ``defects``, a batch of clean plans, or one plan to reduce."""

    number: int
    defects: tuple[str, ...] = ()
    clean: int = 0
    reduce: str = ""


class Kept:
    """The lines of one program's results in a folder, and the plans beside them."""

    def __init__(self, out: Path, code: str) -> None:
        self.plans = out / "plans"
        self._path = out / f"trials-{code[:12]}.jsonl"
        self.plans.mkdir(parents=True, exist_ok=True)
        self.entries = decode_entries(self._path.read_bytes()) if self._path.exists() else []
        self._rewrite()

    def _rewrite(self) -> None:
        """Leave out a last line that broke off."""
        self._path.write_bytes(b"".join(map(encode_entry, self.entries)))

    def add(self, entry: Entry) -> None:
        """Append one."""
        self.entries.append(entry)
        with self._path.open("ab") as file:
            file.write(encode_entry(entry))

    def of(self, kind: type[Trial] | type[Clean] | type[Small]) -> list[Entry]:
        """Return those of one kind."""
        return [entry for entry in self.entries if isinstance(entry, kind)]


def plan_file(name: str, *, small: bool) -> str:
    """Return the name of the file for the plan of a defect's first trial, as it was or made small."""
    safe = "".join(c if c.isalnum() else "-" for c in name)
    return f"{safe}{'.small' if small else ''}.json"


def units(asked: Asked, names: Sequence[str], kept: Kept) -> Iterator[Unit]:
    """Yield what is left to be done, trials first, all defects of one trial after another."""
    done = {(e.defect, e.number) for e in kept.entries if isinstance(e, Trial)}
    for number in range(1, asked.trials + 1):
        left = [name for name in names if (name, number) not in done]
        for first in range(0, len(left), TOGETHER):
            yield Unit(number=number, defects=tuple(left[first : first + TOGETHER]))
    batches = {e.number for e in kept.entries if isinstance(e, Clean)}
    for number, first in enumerate(range(0, asked.clean, BATCH), 1):
        if number not in batches:
            yield Unit(number=number, clean=min(BATCH, asked.clean - first))


def reductions(names: Sequence[str], kept: Kept) -> Iterator[Unit]:
    """Yield which plans are left to be made small: of the first trial that caught each defect."""
    done = {e.defect for e in kept.entries if isinstance(e, Small)}
    for name in names:
        caught = [
            e.number
            for e in kept.entries
            if isinstance(e, Trial) and e.defect == name and e.named is not None
        ]
        if name not in done and caught and (kept.plans / plan_file(name, small=False)).exists():
            yield Unit(number=min(caught), reduce=name)


def perform(asked: Asked, unit: Unit, folder: str) -> list[Entry]:
    """Do one unit, in a process of its own; plans go into ``folder``."""
    if unit.clean:
        return [trials.try_clean(asked, unit.number, unit.clean)]
    if unit.reduce:
        return [_reduce(asked, unit, Path(folder))]
    return [_trial(asked, name, unit.number, Path(folder)) for name in unit.defects]


def _trial(asked: Asked, name: str, number: int, folder: Path) -> Trial:
    trial, plan = trials.try_defect(asked, defect(name), number)
    path = folder / plan_file(name, small=False)
    if plan is not None and (number == 1 or not path.exists()):
        path.write_bytes(plans.encode(plan))
    return trial


def _reduce(asked: Asked, unit: Unit, folder: Path) -> Small:
    whole = folder / plan_file(unit.reduce, small=False)
    plan = plans.decode(whole.read_bytes(), source=str(whole))
    told, small = trials.make_small(asked, defect(unit.reduce), unit.number, plan)
    (folder / plan_file(unit.reduce, small=True)).write_bytes(plans.encode(small))
    return told


def run(
    asked: Asked,
    todo: Sequence[Unit],
    kept: Kept,
    processes: int,
    seen: Callable[[Unit, list[Entry]], None],
) -> None:
    """Do all units over so many processes; ``seen`` hears of each. Raises KeyboardInterrupt after keeping
    what was at work.
    """
    with ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
    ) as pool:
        left = {pool.submit(perform, asked, unit, str(kept.plans)): unit for unit in todo}
        try:
            while left:
                _keep(wait(left, return_when=FIRST_COMPLETED).done, left, kept, seen)
        except KeyboardInterrupt:
            at_work = [future for future in left if not future.cancel()]
            _keep(wait(at_work).done, left, kept, seen)
            raise


def _keep(
    done: set[Future[list[Entry]]],
    left: dict[Future[list[Entry]], Unit],
    kept: Kept,
    seen: Callable[[Unit, list[Entry]], None],
) -> None:
    for future in done:
        unit, entries = left.pop(future), future.result()
        for entry in entries:
            kept.add(entry)
        seen(unit, entries)


def _begin() -> None:
    """Leave Ctrl-C to the parent, and look for cycles seldom: a drill makes few."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION)
