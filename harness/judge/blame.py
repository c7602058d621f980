"""Blame: where each lost or wrong write was last seen, and where not any more, in words.

A write passes source, capture, broker, archiver, store and restorer; the first of them that has not got it
whole is the layer to blame. What is about no write at all (the catalogue, a lock) has its layer by nature.
No verdict depends on any of this: where the stages were not seen, that is said, and nobody is blamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import structs

from harness.judge.case import Case, Judged
from harness.judge.states import Step
from harness.judge.timeline import NEVER, Transaction
from harness.judge.traces import Stages, Trace
from harness.judge.wording import Wording, in_kafka, offsets, row_words, where_in_wal
from harness.model.history import ObjectSeen, WatermarkSeen
from harness.model.layers import Layer
from harness.model.position import Position, format_lsn
from harness.model.stages import AnyStage, InSegment, InTopic
from harness.model.values import Image, Row, RowKey, row_if_any, row_key, row_of
from harness.model.verdict import Blame, Finding

BY_NATURE: Mapping[str, tuple[Layer, str]] = {
    "catalogue": ("restorer", "what becomes of the catalogue in a restore is the restore's doing"),
    "sequences": ("restorer", "where sequences stand after a restore is the restore's doing"),
    "set aside": ("restorer", "what is set aside in a restore is the restore's doing"),
    "refusals": ("restorer", "neighbours never conflict with each other: a restore was in their way"),
    "outbox": ("restorer", "nobody but a restore writes there unasked"),
    "next write": ("restorer", "what the restore left is what the next write met"),
    "breach": ("archiver", "it is the archiver that has to say how much would be lost"),
    "chain": ("archiver", "it is the archiver that chains entries"),
}
LOCKS = Blame(layer="store", words="it is the object server that has to keep it, and lock it")
UNSTORED = Blame(layer=None, words="what the stages of the pipeline held was not stored")
FORKED = "where the standby that was promoted went on"

Rows = Mapping[RowKey, Image | None]


def blamed(case: Case, findings: Iterable[Finding], stages: Iterable[AnyStage]) -> Iterator[Finding]:
    """Yield the findings, the broken ones with what is to be blamed, as far as that can be told."""
    court = _Court(case, Stages(stages, case.timeline))
    for finding in findings:
        blame = court.judge(finding) if finding.verdict == "broken" else None
        yield finding if blame is None else structs.replace(finding, blame=blame)


class _Court:
    """Judges who is to blame for findings of one case."""

    def __init__(self, case: Case, stages: Stages) -> None:
        self.case, self.stages = case, stages
        self.wording = Wording(case.timeline)
        self._restores = {judged.restore.number: judged for judged in case.restores}
        self._txs = {tx.name: tx for tx in case.timeline.transactions}
        self._gaps: dict[int, Blame | None] = {}
        self._seen_s: dict[tuple[str, str], float] = {}
        for entry in case.timeline.of(ObjectSeen):
            self._seen_s.setdefault((entry.key, entry.version), entry.at_s)

    def judge(self, finding: Finding) -> Blame | None:
        """Return who is to blame for a finding, and how one knows; None where it is about no write."""
        if (natural := BY_NATURE.get(finding.check)) is not None:
            return Blame(layer=natural[0], words=natural[1])
        if self.stages.none:
            return UNSTORED
        judged = self._restores.get(finding.restore or 0)
        if finding.check in {"restored", "untampered"}:
            return self._of_restore(judged) if judged is not None else LOCKS
        step = self._step(finding, judged)
        if finding.check == "live rows":
            return self._of_live_rows(finding, step)
        if finding.check == "nothing else":
            return self._of_what_is_there(finding, step)
        return None if step is None else self._of_write(finding, step, judged)

    def _step(self, finding: Finding, judged: Judged | None) -> Step | None:
        """Return what the finding's operation did to its tenant, or to nobody's rows."""
        line = self.case.lines.get(finding.tenant or "")
        mine = [
            step
            for stretch in (line.stretches if line else ())
            for step in stretch.steps
            if step.tx.name == finding.operation
        ]
        asked = [step for step in mine if judged is not None and step in judged.stretch.steps]
        tx = self._txs.get(finding.operation or "")
        row = _row(finding)
        unowned = [Step(tx=tx, writes={row: None} if row else {})] if tx is not None else []
        return next(iter([*asked, *mine, *unowned]), None)

    def _of_write(self, finding: Finding, step: Step, judged: Judged | None) -> Blame:
        """Trace a write that is lacking, or came late, or has a wrong cell, until it is lost."""
        row = _row(finding)
        rows = {row: step.writes.get(row)} if row is not None and step.role != "restore" else step.writes
        trace = self.stages.trace(step.tx, finding.tenant, rows, whole=step.role == "own")
        return self._on_the_way(trace, rows) or self._at_the_end(finding, trace, judged)

    def _on_the_way(self, trace: Trace, rows: Rows) -> Blame | None:
        """Return what is to blame for a write that is not whole, or not as it was, in the archive."""
        return self._between_wal_and_kafka(trace, rows) or self._between_kafka_and_archive(trace, rows)

    def _between_wal_and_kafka(self, trace: Trace, rows: Rows) -> Blame | None:
        topic = trace.topic
        if topic is None:
            return self._not_in_kafka(trace)
        if trace.untold:
            count = f"{len(rows) - len(trace.untold)} of {len(rows)} rows"
            words = f"with {count} ({row_words(trace.untold[0])} is not): lost between WAL and Kafka"
        elif topic.count is not None and topic.seen < topic.count:
            words = f"with {topic.seen} of its {topic.count} events: lost between WAL and Kafka"
        elif (cell := self._changed(trace, topic, rows)) is not None:
            words = f"but {cell}: changed between WAL and Kafka"
        else:
            return None
        name = f"{self.wording.name(trace)}, {where_in_wal(self.stages, trace.tx)}{in_kafka(topic)}"
        return Blame(layer="capture", words=f"{name}{words}")

    def _not_in_kafka(self, trace: Trace) -> Blame | None:
        name, tx = self.wording.name(trace), trace.tx
        if self.stages.is_beyond_fork(tx):
            return Blame(layer="source", words=f"{name}, {self._beyond(tx)}: lost with the old primary")
        if trace.segment is not None:
            return None  # however it came there
        reading = self.stages.reading_of(tx)
        if reading is None or reading.why_not:
            why = reading.why_not if reading else "it was not read"
            words = f"is in no segment, and whether it was in Kafka is not known ({why})"
            return Blame(layer=None, words=f"{name}, {words}: lost between WAL and archive")
        name = f"{name}, {where_in_wal(self.stages, tx)}"
        if reading.oldest > reading.first:
            words = f"is not in Kafka, which has dropped the offsets before {reading.oldest}: lost in Kafka"
            return Blame(layer="broker", words=f"{name}{words}")
        end = self.stages.goes_on_to(reading)
        if (tx.lsn_upper or tx.lsn_lower) <= end:
            words = f"though its topic goes on to {format_lsn(end)}"
        else:
            ended = "when it was destroyed" if reading.followed else "at the end"
            words = f"whose topic had come to {format_lsn(end)} {ended}"
        return Blame(layer="capture", words=f"{name}is not in Kafka, {words}: lost between WAL and Kafka")

    def _between_kafka_and_archive(self, trace: Trace, rows: Rows) -> Blame | None:
        segment, topic = trace.segment, trace.topic
        name = f"{self.wording.name(trace)}, {in_kafka(topic)}"
        if segment is None:
            return self._in_no_segment(trace, name)
        if segment.entry is None:
            words = "which no manifest entry names: lost between segment and manifest"
        elif trace.unkept:
            words = f"without its row {row_words(trace.unkept[0])}: lost between Kafka and the archive"
        elif topic is not None and segment.xid and topic.lsn not in {None, segment.lsn}:
            words = f"as if committed at {format_lsn(segment.lsn)}: misfiled between Kafka and the archive"
        elif (cell := self._changed(trace, segment, rows)) is not None:
            words = f"but {cell}: changed between Kafka and the archive"
        else:
            return None
        return Blame(layer="archiver", words=f"{name}and in segment {segment.segment}, {words}")

    def _in_no_segment(self, trace: Trace, name: str) -> Blame:
        if (broken := self._unreadable()) is not None:
            return structs.replace(broken, words=f"{name}and {broken.words}")
        if not self.stages.archives:
            return Blame(layer=None, words=f"{name}and what the archive holds was not read")
        name = f"{name}and in no segment: "
        state = self._state(trace.tx)
        if state == "stopped" and (why := self._why_stopped(trace.tx, name)) is not None:
            return why
        for late, high in self.stages.disordered():
            if late is trace.topic:
                words = f"it came into Kafka after transaction {high.xid}, which was committed later"
                return Blame(layer="broker", words=f"{name}{words}: out of order")
        archive, topic = self.stages.archives[-1], trace.topic
        position = self.case.timeline.position(trace.tx.cluster, topic.lsn if topic else None)
        end = Position(epoch=archive.epoch, lsn=archive.lsn)
        if state == "ok" and position is not None and end < position:
            return Blame(layer=None, words=f"{name}the archive had come to {end} when the drill ended")
        return Blame(layer="archiver", words=f"{name}lost between Kafka and the archive")

    def _why_stopped(self, stuck: Transaction, name: str) -> Blame | None:
        """Return the blame for an archiver that was right to stop: Kafka held what it must not hold."""
        if (ghost := self.stages.ghost()) is not None:
            told, tx, fork_lsn = ghost
            at = tx.name if tx is not None else f"transaction {told.xid}"
            words = (
                f"the archiver stopped before it, at {at}, which is in Kafka at offset {offsets(told)} and"
                f" lies beyond {format_lsn(fork_lsn)}, {FORKED}"
            )
            if tx is not None and tx.acked:
                return Blame(layer="source", words=f"{name}{words}: lost with the old primary")
            return Blame(layer="capture", words=f"{name}{words}: captured ahead of it")
        for late, high in self.stages.disordered()[:1]:
            words = f"the archiver stopped, since Kafka has transaction {late.xid} only after {high.xid}"
            return Blame(layer="broker", words=f"{name}{words}, which was committed later: out of order")
        gap = self._gap(stuck.cluster)
        return structs.replace(gap, words=f"{name}the archiver stopped, and {gap.words}") if gap else None

    def _gap(self, cluster: int) -> Blame | None:
        """Return the blame for the first acked write of a cluster that Kafka has not whole, if any."""
        if cluster not in self._gaps:
            steps = (s for line in self.case.lines.values() for t in line.stretches for s in t.steps)
            acked = [s for s in steps if s.role == "own" and s.tx.acked and s.tx.cluster == cluster]
            blames = (self._passed_over(step) for step in sorted(acked, key=lambda s: s.tx.order))
            self._gaps[cluster] = next((blame for blame in blames if blame is not None), None)
        return self._gaps[cluster]

    def _passed_over(self, step: Step) -> Blame | None:
        trace = self.stages.trace(step.tx, step.tx.tenant, step.writes, whole=True)
        blame = self._between_wal_and_kafka(trace, step.writes)
        return blame if blame is not None and blame.layer == "capture" else None

    def _at_the_end(self, finding: Finding, trace: Trace, judged: Judged | None) -> Blame:
        """Blame for a write that is in the archive, whole: it came late, or a restore has not got it."""
        segment = trace.segment
        assert segment is not None  # it was lost on the way otherwise
        came_s = self._seen_s.get((segment.segment, segment.version), NEVER)
        where = f"in segment {segment.segment}, named by entry {segment.entry} of the manifest"
        name = f"{self.wording.name(trace)}, {in_kafka(trace.topic)}{where}"
        if finding.check == "exposure":
            return self._late(trace, name, came_s)
        if finding.check in {"watermarks", "archived again"} or self._came_late(finding, judged, came_s):
            words = f"which came into the bucket only at {self.wording.clock(came_s)}"
            return Blame(layer="archiver", words=f"{name}, {words}: late between Kafka and the archive")
        words = "and not so in the rows restored: lost by the restore"
        return Blame(layer="restorer", words=f"{name}, {words}")

    def _came_late(self, finding: Finding, judged: Judged | None, came_s: float) -> bool:
        """Whether the bucket had a write only after the restore, or after the watermark that covers it."""
        if judged is None:
            return False
        if finding.check == "honest":
            return came_s > judged.restore.began_s + self.wording.listing_interval_s
        return came_s > judged.restore.done_s

    @staticmethod
    def _late(trace: Trace, name: str, came_s: float) -> Blame:
        """Blame whoever took the longest to bring a write into the bucket."""
        told_s = trace.topic.at_s if trace.topic else trace.tx.ended_s
        captured_s, archived_s = told_s - trace.tx.ended_s, came_s - told_s
        words = f"in Kafka {captured_s:.3f} s after its ack, in the bucket {archived_s:.3f} s after that"
        return Blame(layer="capture" if captured_s > archived_s else "archiver", words=f"{name}; {words}")

    def _of_restore(self, judged: Judged) -> Blame:
        """Blame for a restore that brought nothing: the first write not in the archive, or the restorer."""
        if (broken := self._unreadable()) is not None:
            return broken
        for step in judged.steps:
            if step.role == "own" and step.tx.acked and step.tx.ended_s < judged.incident.at_s:
                trace = self.stages.trace(step.tx, judged.tenant, step.writes, whole=True)
                if (blame := self._on_the_way(trace, step.writes)) is not None:
                    return blame
        words = f"what tenant {judged.tenant} wrote before the incident is in the archive, and can be read"
        return Blame(layer="restorer", words=f"{words}: it is the restore that failed")

    def _of_live_rows(self, finding: Finding, step: Step | None) -> Blame:
        """Blame for live rows, in which no archive has a part: lost in a failover, or by a restore."""
        name = f"{self.wording.named(step.tx, finding.tenant)}: " if step is not None else ""
        if step is not None and step.tx.actor != "restore" and self.stages.is_beyond_fork(step.tx):
            return Blame(layer="source", words=f"{name}{self._beyond(step.tx)}: lost with the old primary")
        words = "nobody but a restore touches live rows beside their own writers"
        return Blame(layer="restorer", words=f"{name}{words}")

    def _of_what_is_there(self, finding: Finding, step: Step | None) -> Blame | None:
        """Blame for a row that should not be there, or not so."""
        row = _row(finding)
        if row is None or finding.tenant is None:
            return None
        told, kept = self.stages.rows_of(finding.tenant, row)
        if step is not None and step.tx.outcome == "refused" and told:
            name = self.wording.named(step.tx, finding.tenant)
            words = f"was refused, and yet is in Kafka at offset {offsets(told[0])}"
            return Blame(layer="source", words=f"{name}, {words}")
        if kept and not told and self.stages.read_wholly:
            words = f"row {row_words(row)} is in segment {kept[0].segment}, and never came through Kafka"
            return Blame(layer="archiver", words=f"{words}: made up between Kafka and the archive")
        where = f"is in segment {kept[-1].segment}" if kept else "is in no segment of the tenant's"
        words = f"row {row_words(row)} {where}, and the restore should not have put it there so"
        return Blame(layer="restorer", words=words)

    def _unreadable(self) -> Blame | None:
        """Return the blame for an archive that can't be read, None if it can."""
        for archive in self.stages.archives:
            if archive.why_not:
                return Blame(layer="archiver", words=f"the archive can't be read: {archive.why_not}")
        for gone in self.stages.unreadable:
            words = f"segment {gone.segment}, which entry {gone.entry} of the manifest names, can't be read"
            return Blame(layer="store", words=f"{words}: {gone.why}")
        return None

    def _changed(self, trace: Trace, found: InTopic | InSegment, rows: Rows) -> str | None:
        """Return in words which cell of these rows differs from what was written, None if none does.

        A snapshot has a row as it was by then: any image of it will do.
        """
        last = {row_key(mark.table, mark.key): mark.row for mark in found.marks}
        for row, image in rows.items():
            there = last.get(row)
            if not image or not there or (not found.xid and there in self._images(trace.tenant, row)):
                continue
            cells = row_of(image)
            for column in sorted(cells.keys() & there.keys()):
                if cells[column] != there[column]:
                    return f"{row_words(row)} has another {column} there than was written"
        return None

    def _images(self, tenant: str | None, row: RowKey) -> list[Row | None]:
        line = self.case.lines.get(tenant or "")
        stretches = line.stretches if line else []
        images = (s.writes[row] for stretch in stretches for s in stretch.steps if row in s.writes)
        return [row_if_any(image) for image in images]

    def _state(self, tx: Transaction) -> str:
        """Return what the system said of itself last, before the transaction's cluster was wiped out."""
        wiped_s = self.case.timeline.wiped_s
        until_s = wiped_s if tx.sent_s < wiped_s else NEVER
        seen = [e for e in self.case.timeline.of(WatermarkSeen) if e.at_s < until_s]
        return seen[-1].state if seen else ""

    def _beyond(self, tx: Transaction) -> str:
        return f"lies beyond {format_lsn(self.stages.fork_after(tx) or 0)}, {FORKED}"


def _row(finding: Finding) -> RowKey | None:
    return row_key(finding.table, finding.key) if finding.table and finding.key is not None else None
