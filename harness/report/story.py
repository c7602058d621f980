"""Reads a run folder into one value that pages and tables are made from. Pure but for the reading.

A *lane* is one tenant's part of the timeline: its acked writes with the time at which each became
durable in the bucket, the script's hits, and its restores.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from harness.model import folder, history, plan, verdict
from harness.model.errors import BadInput
from harness.report import replay
from harness.report.disturbances import Struck, Tried, attacks_of, faults_of


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """An acked write: when, when the bucket held it (None: never seen there), and whether it was lost."""

    name: str
    acked_s: float
    archived_s: float | None
    lost: bool


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that lasted from ``begin_s`` to ``end_s``."""

    label: str
    begin_s: float
    end_s: float


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's part of the timeline."""

    tenant: str
    verdict: verdict.TenantVerdict
    writes: tuple[Write, ...]
    hits: tuple[Span, ...]
    restores: tuple[Span, ...]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A run, ready to be told. ``exposure``: (at_s, seconds) steps of what would be lost at that time.

    ``witness``: what the second witness was, empty if there was none.
    """

    run: str
    plan: plan.Plan
    verdict: verdict.DrillVerdict
    end_s: float
    phases: tuple[Span, ...]
    lanes: tuple[Lane, ...]
    exposure: tuple[tuple[float, float], ...]
    faults: tuple[Struck, ...]
    attacks: tuple[Tried, ...]
    destroyed_s: float | None
    environment: dict[str, str]
    replay: str
    witness: str = ""


def read(run: Path) -> Story:
    """Read a run folder; raises BadInput when it holds no judged run."""
    the_plan = plan.decode(_bytes(run / folder.PLAN), source=str(run / folder.PLAN))
    the_verdict = verdict.decode(_bytes(run / folder.VERDICT))
    with (run / folder.HISTORY).open("rb") as lines:
        entries = list(history.decode_lines(lines))
    return tell(run, the_plan, the_verdict, entries, environment(run))


def environment(run: Path) -> dict[str, str]:
    """Return what a run folder names of its stack, in one level; nothing when it names none."""
    if not (run / folder.ENVIRONMENT).exists():
        return {}
    return _flat(msgspec.json.decode((run / folder.ENVIRONMENT).read_bytes()))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(
            f"{path} does not exist",
            cure="name the folder of a finished run, as `drill` printed it",
        ) from None


def _flat(value: dict[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat.update(_flat(item, f"{prefix}{name}."))
        else:
            flat[prefix + name] = str(item)
    return flat


def tell(
    run: Path,
    the_plan: plan.Plan,
    the_verdict: verdict.DrillVerdict,
    entries: Sequence[history.AnyEntry],
    stack: dict[str, str],
) -> Story:
    """Arrange what was seen as a story; ``entries`` in the order in which they were recorded.

    ``stack``: what its environment names.
    """
    writes = _writes(entries, _lost(the_verdict))
    hits, restores = _hits(the_plan, entries), _restores(entries)
    end_s = entries[-1].at_s if entries else 0.0
    destroyed_s = next((e.at_s for e in entries if isinstance(e, history.Destroyed)), None)
    lanes = tuple(_lane(tenant, writes, hits, restores) for tenant in the_verdict.tenants)
    return Story(
        run=run.name,
        plan=the_plan,
        verdict=the_verdict,
        end_s=end_s,
        phases=_phases(entries, end_s),
        lanes=lanes,
        exposure=_exposure((w for lane in lanes for w in lane.writes), destroyed_s),
        faults=faults_of(the_plan, entries),
        attacks=attacks_of(the_plan, entries),
        destroyed_s=destroyed_s,
        environment=stack,
        replay=replay.command(run, stack),
        witness=_witness(entries),
    )


def _lane(
    tenant: verdict.TenantVerdict,
    writes: Mapping[str, Sequence[Write]],
    hits: Mapping[str, Sequence[Span]],
    restores: Mapping[str, Sequence[Span]],
) -> Lane:
    return Lane(
        tenant=tenant.tenant,
        verdict=tenant,
        writes=tuple(writes.get(tenant.tenant, ())),
        hits=tuple(hits.get(tenant.tenant, ())),
        restores=tuple(restores.get(tenant.tenant, ())),
    )


def _witness(entries: Iterable[history.AnyEntry]) -> str:
    return next((e.words for e in entries if isinstance(e, history.WitnessBegan)), "")


def _lost(the_verdict: verdict.DrillVerdict) -> set[str]:
    return {f.operation for f in the_verdict.every_finding if f.operation and f.loss_s}


def _writes(entries: Sequence[history.AnyEntry], lost: set[str]) -> dict[str, list[Write]]:
    """Return each tenant's acked writes. What died with a destroyed cluster is lost, budget or not."""
    archived, epoch = _archived_by(entries), _epochs(entries)
    cluster = {e.name: e.cluster for e in entries if isinstance(e, history.Sent)}
    last = max(cluster.values(), default=0)
    lanes: dict[str, list[Write]] = {}
    for done in entries:
        if isinstance(done, history.Done) and done.outcome == "acked" and done.tenant is not None:
            where = cluster.get(done.name, 0)
            archived_s = archived((epoch.get(where, 0), done.lsn_upper or 0))
            died = archived_s is None and where < last
            write = Write(
                name=done.name, acked_s=done.at_s, archived_s=archived_s, lost=died or done.name in lost
            )
            lanes.setdefault(done.tenant, []).append(write)
    return lanes


def _epochs(entries: Iterable[history.AnyEntry]) -> dict[int, int]:
    return {e.cluster: e.epoch for e in entries if isinstance(e, history.ClusterSeen) if e.epoch}


class _Archived:
    """When everything needed for a restore up to a position had been seen in the bucket."""

    def __init__(self, positions: list[tuple[int, int]], seen_s: list[float]) -> None:
        self._positions, self._seen_s = positions, seen_s

    def __call__(self, position: tuple[int, int]) -> float | None:
        """Return that time for ``position`` (epoch, LSN); None when its epoch's archive ends before it."""
        index = bisect.bisect_left(self._positions, position)
        if index == len(self._positions) or self._positions[index][0] != position[0]:
            return None
        return None if self._seen_s[index] == float("inf") else self._seen_s[index]


def _archived_by(entries: Sequence[history.AnyEntry]) -> _Archived:
    first_seen: dict[tuple[str, str], float] = {}
    needs: tuple[history.Need, ...] = ()
    for entry in entries:
        if isinstance(entry, history.ObjectSeen):
            first_seen.setdefault((entry.key, entry.version), entry.at_s)
        elif isinstance(entry, history.NeedsNamed):
            needs = entry.needs
    positions: list[tuple[int, int]] = []
    seen_s: list[float] = []
    latest = 0.0
    for need in needs:
        latest = max([latest, *(first_seen.get(o, float("inf")) for o in need.objects)])
        positions.append((need.epoch, need.lsn))
        seen_s.append(latest)
    return _Archived(positions, seen_s)


def _hits(the_plan: plan.Plan, entries: Sequence[history.AnyEntry]) -> dict[str, list[Span]]:
    effects = {
        t.name: {e.tenant: e.mode for e in t.actual}
        for script in the_plan.scripts
        for t in script.transactions
    }
    done = {e.name: e.at_s for e in entries if isinstance(e, history.Done) if e.actor == "script"}
    hits: dict[str, list[Span]] = {}
    for entry in entries:
        if isinstance(entry, history.Sent) and entry.actor == "script":
            for tenant, mode in effects.get(entry.name, {}).items():
                end_s = done.get(entry.name, entry.at_s)
                hits.setdefault(tenant, []).append(
                    Span(label=f"{mode} by {entry.name}", begin_s=entry.at_s, end_s=end_s)
                )
    return hits


def _restores(entries: Sequence[history.AnyEntry]) -> dict[str, list[Span]]:
    done = {e.restore: e for e in entries if isinstance(e, history.RestoreDone)}
    spans: dict[str, list[Span]] = {}
    for entry in entries:
        if isinstance(entry, history.RestoreBegan):
            end = done.get(entry.restore)
            label = f"restore {entry.restore} ({entry.place}): {end.result if end else 'no answer'}"
            spans.setdefault(entry.tenant, []).append(
                Span(label=label, begin_s=entry.at_s, end_s=end.at_s if end else entry.at_s)
            )
    return spans


def _phases(entries: Sequence[history.AnyEntry], end_s: float) -> tuple[Span, ...]:
    began = [e for e in entries if isinstance(e, history.PhaseBegan)]
    ends = [e.at_s for e in began[1:]] + [end_s]
    return tuple(Span(label=b.phase, begin_s=b.at_s, end_s=end) for b, end in zip(began, ends, strict=True))


def _exposure(writes: Iterable[Write], destroyed_s: float | None) -> tuple[tuple[float, float], ...]:
    """Age of the oldest acked write that the bucket did not hold, at each moment it changed.

    A write that died with its cluster counts until then.
    """
    ends = ((w.acked_s, destroyed_s if w.lost and w.archived_s is None else w.archived_s) for w in writes)
    waiting = sorted((acked_s, end_s) for acked_s, end_s in ends if end_s is not None)
    steps: list[tuple[float, float]] = []
    first = 0
    for end_s in sorted({end_s for _, end_s in waiting}):
        while waiting[first][1] < end_s:
            first += 1
        if waiting[first][0] < end_s:
            steps.append((end_s, end_s - waiting[first][0]))
    return tuple(steps)
