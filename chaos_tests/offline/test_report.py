"""The pages and tables that people read: nothing left out, nothing outside the file."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.model import folder, history, plan, verdict
from harness.model.attacks import Attack
from harness.model.coverage import Cell
from harness.model.errors import BadInput
from harness.model.faults import CutLink, DropSlot, Kill
from harness.report import campaign, html, replay, story, terminal, timeline
from harness.report.live import LiveView


def a_plan(tenants: int = 3) -> plan.Plan:
    """A plan in which a script removes tenant 1 by mistake."""
    hit = plan.ScriptTransaction(
        name="s0.0",
        statements=(plan.Statement(sql="DELETE FROM app.things WHERE tenant = 1"),),
        intended=(),
        actual=(plan.Effect(tenant="1", mode="permanent", tables=("app.things",)),),
    )
    return plan.Plan(
        seed=7,
        profile="quick",
        schema="tiny",
        survivors="all",
        budget_s=3.0,
        write_s=5.0,
        tenants=tuple(
            plan.TenantPlan(tenant=str(n), initial=(), writers=(), write_counts=())
            for n in range(1, tenants + 1)
        ),
        scripts=(plan.Script(kind="stale_list", words="deleted <one> & stale", transactions=(hit,)),),
        faults=(
            Kill(service="archiver", phase="write", after_s=2.0, down_s=0.3),
            DropSlot(phase="write", after_s=3.0, down_s=1.0),
            CutLink(link="archiver-minio", phase="write", after_s=3.0, down_s=1.0),
            Kill(service="kafka", phase="write", after_s=3.0, down_s=1.0),
        ),
        attacks=(
            Attack(kind="overwrite", moment="write", aims=(1,)),
            Attack(kind="remove lock", moment="write"),
        ),
    )


def a_verdict(the_plan: plan.Plan) -> verdict.DrillVerdict:
    """A broken verdict: tenant 1 lost one write."""
    lost = verdict.Finding(
        check="complete",
        point=1,
        verdict="broken",
        message="an acknowledged write is not in the restored rows",
        tenant="1",
        table="app.things",
        key=("17",),
        column="note",
        expected="<b>",
        found=None,
        operation="t1.w0.2",
        loss_s=2.5,
        blame=verdict.Blame(layer="archiver", words="is in Kafka at offset 7, and in no segment"),
    )
    return verdict.DrillVerdict(
        verdict="broken",
        budget_s=3.0,
        profile="quick",
        plan="plan.json",
        script=the_plan.scripts[0].words,
        survivors="all",
        points_judged=("1 complete",),
        points_not_judged=("7 untampered",),
        tenants=tuple(
            verdict.TenantVerdict(
                tenant=t.tenant,
                damaged=t.tenant == "1",
                verdict="broken" if t.tenant == "1" else "proven",
                loss_s=2.5 if t.tenant == "1" else 0.0,
                findings=(lost,) if t.tenant == "1" else (),
            )
            for t in the_plan.tenants
        ),
        worst_loss_s=2.5,
        worst_loss_tenant="1",
        findings=(verdict.Finding(check="floors", point=0, verdict="unknown", message="too few writes"),),
    )


def a_history() -> list[history.AnyEntry]:
    """Two writes, of which the bucket held one; a script; a restore; a destruction; a fault."""
    cut = history.Cut(epoch=1, xid=9)
    need = history.Need(epoch=1, lsn=100, objects=(("seg/1", "v1"),))
    return [
        history.Started(at_s=0.0, wall_s=0.0, flush_interval_s=1.0, listing_interval_s=0.1),
        history.ClusterSeen(at_s=0.0, cluster=1, system_id="1", timeline=1, epoch=1),
        history.PhaseBegan(at_s=0.0, phase="write"),
        *_write("t1.w0.1", 1.0, 100),
        history.ObjectSeen(at_s=1.5, key="seg/1", version="v1"),
        *_write("t1.w0.2", 2.0, 200),
        history.FaultBegan(at_s=2.1, fault=0, proof="the archiver is gone", bit=True),
        history.FaultHealed(at_s=2.4, fault=0, proof="the archiver is back"),
        history.FaultBegan(at_s=2.5, fault=1, proof="the slot is still there", bit=False),
        history.FaultBegan(at_s=2.6, fault=2, proof="nothing comes through", bit=True),
        history.Attacked(at_s=2.7, attack=0, act="put", key="seg/1", refused=False, answer="v2"),
        history.Attacked(at_s=2.8, attack=0, act="put", key="seg/1", refused=True, answer="denied <b>"),
        history.PhaseBegan(at_s=4.0, phase="script"),
        history.Sent(
            at_s=4.5, name="s0.0", actor="script", tenant=None, cluster=1, xid=9, begun_s=4.4,
            lsn_lower=250, changes=(),
        ),
        history.Done(at_s=4.6, name="s0.0", actor="script", tenant=None, outcome="acked"),
        history.Destroyed(at_s=4.7, survivors="archive", services=("primary",)),
        history.RestoreBegan(at_s=5.0, restore=1, round=1, tenant="1", cut=cut, place="live", cluster=1),
        history.RestoreDone(at_s=5.5, restore=1, tenant="1", result="restored", rows=3),
        history.NeedsNamed(at_s=5.6, needs=(need,)),
        history.Ended(at_s=6.0, complete=True),
    ]  # fmt: skip


def _write(name: str, at_s: float, lsn: int) -> list[history.AnyEntry]:
    return [
        history.Sent(
            at_s=at_s - 0.1, name=name, actor="writer", tenant="1", cluster=1, xid=5,
            begun_s=at_s - 0.1, lsn_lower=lsn - 10, changes=(),
        ),
        history.Done(at_s=at_s, name=name, actor="writer", tenant="1", outcome="acked", lsn_upper=lsn),
    ]  # fmt: skip


def a_story() -> story.Story:
    """The story of that plan, verdict and history."""
    the_plan = a_plan()
    return story.tell(Path("drill-01"), the_plan, a_verdict(the_plan), a_history(), {"postgres": "18"})


class Page(HTMLParser):
    """Collects what a test asks of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_each_write_has_the_time_at_which_the_bucket_held_it() -> None:
    """A write is archived when everything that its position needs was seen, and not before."""
    writes = {write.name: write for write in a_story().lanes[0].writes}
    assert writes["t1.w0.1"].archived_s == 1.5
    assert writes["t1.w0.2"].archived_s is None
    assert [write.lost for write in writes.values()] == [False, True]


def test_exposure_is_the_age_of_the_oldest_write_not_yet_archived() -> None:
    """One write is archived half a second after its ack; the lost one counts until the destruction."""
    steps = [(at_s, round(exposure_s, 3)) for at_s, exposure_s in a_story().exposure]
    assert steps == [(1.5, 0.5), (4.7, 2.7)]


def test_the_page_shows_every_tenant_and_every_finding() -> None:
    """Each tenant has a lane and a row, and each finding its place."""
    page = Page(html.render(a_story()))
    lanes = [a["data-tenant"] for tag, a in page.tags if tag == "g" and "data-tenant" in a]
    rows = [a["data-tenant"] for tag, a in page.tags if tag == "tr" and "data-tenant" in a]
    checks = [a["data-check"] for tag, a in page.tags if "data-check" in a]
    assert lanes == rows == ["1", "2", "3"]
    assert sorted(str(check) for check in checks) == ["complete", "floors"]


def test_the_page_shows_what_was_done_on_purpose() -> None:
    """Each fault with its proofs, and each attack with what became of it; what never happened too."""
    page = Page(html.render(a_story()))
    done = [a.get("data-fault") or a.get("data-attack") for tag, a in page.tags if tag == "tr"]
    names = [name for name in done if name]
    assert names[:4] == ["kill archiver", "drop slot", "cut archiver-minio", "kill kafka"]
    assert names[4:] == ["overwrite", "remove lock"]
    words = " ".join(" ".join(page.words).split())
    assert "not seen to bite. the slot is still there" in words
    assert "never injected" in words
    assert "2 acts: 1 accepted by the server, 1 refused; denied <b>" in words
    assert "never tried" in words
    assert "Envelope: inside." in words


def test_a_drill_left_alone_has_no_table_of_faults() -> None:
    """Nothing is said of what the plan does not hold."""
    page = html.render(msgspec.structs.replace(a_story(), faults=(), attacks=()))
    assert "Faults and attacks" not in page


def test_a_fault_says_its_proofs_in_a_line() -> None:
    """Whether it bit comes first."""
    said = [fault.words for fault in a_story().faults]
    assert said[1] == "drop slot (not seen to bite): the slot is still there"


def test_what_the_second_witness_said_is_told_in_page_and_terminal() -> None:
    """Of each tenant, with the digest, and why it was not judged; nothing where nobody asked for one."""
    assert "Second witness" not in html.render(a_story())
    assert terminal.witness_words([a_verdict(a_plan())]) == ""
    heard = (
        verdict.Testimony(tenant="1", restore=1, said="agrees", digest="c0ffee", rows=3),
        verdict.Testimony(tenant="2", restore=0, said="not judged", words="its <WAL> was cut"),
    )
    told = a_story()
    told = msgspec.structs.replace(told, verdict=msgspec.structs.replace(told.verdict, witness=heard))
    words = " ".join(" ".join(Page(html.render(told)).words).split())
    assert "None was there: restored to the very cut" in words
    assert "1 agrees 1 3 c0ffee 2 not judged – – – its <WAL> was cut" in words
    entry = history.WitnessBegan(at_s=0.1, words="Barman 1, base backup 7")
    begun = story.tell(Path("drill-01"), told.plan, told.verdict, [*a_history(), entry], {})
    assert "Barman 1, base backup 7: restored" in html.render(begun)
    said = "Second witness, of 2 tenants: agrees 1, not judged 1."
    assert terminal.witness_words([told.verdict]) == said
    out = io.StringIO()
    terminal.show(Console(file=out, width=200), [told.verdict], "runs")
    assert said in out.getvalue()


NOT_HERE = ("full disk primary", "full disk kafka", "kill minio")


def a_campaign(out: Path) -> None:
    """A judged campaign of two drills, one of them outside the envelope and with a fault."""
    cell = Cell("kill archiver", "archiver", "stale_list")
    clean = msgspec.structs.replace(a_verdict(a_plan()), verdict="proven", cells=(cell,))
    beyond = msgspec.structs.replace(a_verdict(a_plan()), outside=("drop slot",))
    for run, judged in (("drill-01", clean), ("drill-02", beyond)):
        (out / run).mkdir(parents=True)
        (out / run / folder.VERDICT).write_bytes(verdict.encode(judged))
    summary = verdict.CampaignVerdict(
        verdict="broken", seed=7, profile="quick", runs=("drill-01", "drill-02"),
        verdicts=("proven", "broken"), outside=("drill-02",),
        unavailable=dict.fromkeys(NOT_HERE, "no space"),
    )  # fmt: skip
    (out / folder.CAMPAIGN).write_bytes(verdict.encode(summary))


def test_a_campaigns_page_has_its_drills_and_the_map(tmp_path: Path) -> None:
    """Each drill leads to its own page, and no link leads anywhere else."""
    a_campaign(tmp_path)
    text = campaign.write(tmp_path).read_text()
    page = Page(text)
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert links == ["drill-01/report.html", "drill-02/report.html"]
    words = " ".join(" ".join(page.words).split())
    assert "1 fault bit, at 1 of 9 stages" in words
    assert "outside the envelope 1 broken" in words
    assert "Not on this host: kill minio; full disk anything (no space)." in words
    assert not re.search(r"https?://|@import|url\(", text)


def test_a_folder_without_a_campaign_is_refused(tmp_path: Path) -> None:
    """One clear error that says what to name."""
    with pytest.raises(BadInput, match=r"campaign\.json"):
        campaign.write(tmp_path)


def test_the_table_names_the_faults_that_bit() -> None:
    """Beside the script, by their names."""
    cell = Cell("kill archiver", "archiver", "stale_list")
    out = io.StringIO()
    console = Console(file=out, width=80)
    terminal.show(console, [msgspec.structs.replace(a_verdict(a_plan()), cells=(cell,))], "runs/x")
    assert "[kill archiver]" in " ".join(out.getvalue().split())


def test_the_page_refers_to_nothing_outside_itself() -> None:
    """No link, script, style sheet, image, font or import leads out of the file."""
    text = html.render(a_story())
    outside = [a for _, a in Page(text).tags if {"src", "href", "srcset", "xlink:href"} & set(a)]
    assert outside == []
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_page_escapes_what_the_database_held() -> None:
    """Values and words are shown, never interpreted."""
    text = html.render(a_story())
    assert "deleted &lt;one&gt; &amp; stale" in text
    assert "&lt;b&gt;" in text


def test_the_timeline_marks_acks_hits_restores_and_the_destruction() -> None:
    """Every kind of event that the history holds is drawn inside the picture."""
    drawing = timeline.draw(a_story())
    lane = drawing.lanes[0]
    assert lane.saved.count("M") == 1
    assert lane.lost.count("M") == 1
    assert [bar.label for bar in lane.hits] == ["permanent by s0.0"]
    assert [bar.label for bar in lane.restores] == ["restore 1 (live): restored"]
    assert [bar.label for bar in drawing.faults] == [
        "kill archiver: the archiver is gone; the archiver is back",
        "cut archiver-minio: nothing comes through",
    ]
    assert drawing.faults[1].x + drawing.faults[1].width == pytest.approx(drawing.width - 8)
    assert drawing.destroyed_x is not None
    assert drawing.left < drawing.destroyed_x < drawing.width


@pytest.mark.parametrize(
    ("survivors", "words"),
    [("standby", "its standby promoted"), ("archive", "everything but the archive destroyed")],
)
def test_the_page_says_what_was_destroyed(survivors: str, words: str) -> None:
    """The primary alone, or all but the archive."""
    told = a_story()
    judged = msgspec.structs.replace(told.verdict, survivors=survivors)
    assert words in html.render(msgspec.structs.replace(told, verdict=judged))


def test_a_page_is_written_into_the_run_folder(tmp_path: Path) -> None:
    """The page is made from the files of a run alone."""
    the_plan = a_plan()
    (tmp_path / folder.PLAN).write_bytes(plan.encode(the_plan))
    (tmp_path / folder.VERDICT).write_bytes(verdict.encode(a_verdict(the_plan)))
    (tmp_path / folder.HISTORY).write_bytes(b"".join(map(history.encode_line, a_history())))
    (tmp_path / folder.ENVIRONMENT).write_bytes(msgspec.json.encode({"versions": {"minio": "x"}}))
    text = html.write(tmp_path).read_text()
    assert "versions.minio" in text
    assert f"restoreproof replay {tmp_path}</code>" in text


def test_the_command_that_runs_a_drill_again_is_whole() -> None:
    """It names the folder, the host if that is not the usual one, and a schema of one's own; quoted."""
    run = Path("runs/x/drill-02")
    assert replay.command(run, {"host": "local"}) == "restoreproof replay runs/x/drill-02"
    mine = {"host": "containers", "schema": "/my/our schema"}
    whole = "restoreproof replay runs/x/drill-02 --schema '/my/our schema' --host containers"
    assert replay.command(run, mine) == whole
    told = story.tell(run, a_plan(), a_verdict(a_plan()), a_history(), mine)
    assert told.run == "drill-02"
    assert " ".join(Page(html.render(told)).words).count(whole) == 1


def test_the_terminal_tells_how_to_run_again_what_was_not_proven() -> None:
    """On one line, to be copied, however narrow the terminal; of what was proven nothing is said."""
    clean = msgspec.structs.replace(a_verdict(a_plan()), verdict="proven")
    out = io.StringIO()
    commands = [f"restoreproof replay {'runs/' * 20}drill-0{number}" for number in (1, 2)]
    terminal.show(Console(file=out, width=60), [clean, a_verdict(a_plan())], "runs", replays=commands)
    assert f"  run it again: {commands[1]}\n" in out.getvalue()
    assert commands[0] not in out.getvalue()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """The error names the file that is missing."""
    with pytest.raises(BadInput, match=r"plan\.json does not exist"):
        html.write(tmp_path)


def test_the_table_fits_eighty_columns_without_colour() -> None:
    """Every line of the table and the summary fits a dumb terminal."""
    out = io.StringIO()
    console = Console(file=out, width=80, no_color=True, force_terminal=False)
    the_plan = a_plan()
    terminal.show(console, [a_verdict(the_plan)] * 2, "runs/x")
    text = out.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "2.50 s" in text
    assert "written by t1.w0.2" in text
    assert "BROKEN: 2 broken" in text
    assert "7 untampered" in " ".join(text.split())


def test_drills_outside_the_envelope_are_told_apart() -> None:
    """The table says why, the sentence counts them by themselves, and they only add a breach."""
    clean = msgspec.structs.replace(a_verdict(a_plan()), verdict="proven")
    beyond = msgspec.structs.replace(clean, verdict="unknown", outside=("kill archiver for 400 s",))
    out = io.StringIO()
    terminal.show(Console(file=out, width=80), [*[clean] * 4, beyond], "runs/x")
    said = " ".join(out.getvalue().split())
    assert "kill archiver for 400 s" in said
    assert "PROVEN: 4 proven; outside the envelope 1 unknown; 15 tenants judged" in said
    assert terminal.sentence([beyond]).startswith("UNKNOWN: none inside the envelope; outside")
    page = html.render(msgspec.structs.replace(a_story(), verdict=beyond))
    assert "Outside the envelope" in page
    assert "kill archiver for 400 s" in page


def test_of_many_findings_the_first_are_shown_and_the_rest_counted() -> None:
    """Breaches first; all of them are in the verdict's file."""
    judged = a_verdict(a_plan())
    many = msgspec.structs.replace(judged, findings=judged.findings * 6)
    told = list(terminal.findings(many))
    assert len(told) == 6
    assert told[0].startswith("broken")
    assert told[-1] == "and 2 more findings, all in verdict.json"


def test_a_run_without_its_environment_is_told_all_the_same(tmp_path: Path) -> None:
    """What is missing is left out."""
    the_plan = a_plan()
    (tmp_path / folder.PLAN).write_bytes(plan.encode(the_plan))
    (tmp_path / folder.VERDICT).write_bytes(verdict.encode(a_verdict(the_plan)))
    (tmp_path / folder.HISTORY).write_bytes(b"".join(map(history.encode_line, a_history())))
    assert story.read(tmp_path).environment == {}


def test_a_write_that_died_before_it_was_acked_exposes_nobody() -> None:
    """An archive that holds a write before its ack is no exposure."""
    entries = [
        msgspec.structs.replace(e, at_s=0.5) if isinstance(e, history.ObjectSeen) else e
        for e in a_history()
    ]
    told = story.tell(Path("drill-01"), a_plan(), a_verdict(a_plan()), entries, {})
    assert [round(at_s, 1) for at_s, _ in told.exposure] == [4.7]


class Step(msgspec.Struct):
    """News of a service."""

    name: str
    state: str
    spent_s: float


class Counts(msgspec.Struct):
    """Where a drill is."""

    acked: int = 17
    exposure_s: float = 1.25
    restored: int = 2
    to_restore: int = 0


@pytest.mark.parametrize("terminal_", [True, False])
def test_whoever_watches_hears_phases_and_verdicts(terminal_: bool) -> None:
    """On a terminal in one line that is rewritten, elsewhere a line for each phase."""
    out = io.StringIO()
    with LiveView(Console(file=out, width=100, force_terminal=terminal_, color_system=None)) as view:
        view.step(Step(name="kafka", state="starting", spent_s=0.0))
        view.step(Step(name="kafka", state="ready", spent_s=1.5))
        view.drill(1, 2, a_plan())
        view.phase("write")
        view.counts(Counts())
        view.counts(Counts(to_restore=3))
        view.judged(1, a_verdict(a_plan()))
    said = out.getvalue()
    assert "kafka" in said
    assert "starting" not in said
    assert "drill 1/2: deleted <one> & stale" in said
    assert "drill 1: broken" in said
    assert ("2/3 tenants restored" in said) is terminal_


def test_the_sentence_says_when_nobody_lost_anything() -> None:
    """A proven campaign says so, and a campaign without drills is unknown."""
    the_plan = a_plan()
    clean = msgspec.structs.replace(
        a_verdict(the_plan), verdict="proven", worst_loss_s=0.0, worst_loss_tenant=None
    )
    assert "nobody lost an acknowledged write" in terminal.sentence([clean])
    assert terminal.sentence([]).startswith("UNKNOWN: no drill ran")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (12, "12 B"), (20_480, "20 KiB"), (11 * 1024**2, "11.0 MiB")]
)
def test_sizes_are_written_for_people(value: int | None, text: str) -> None:
    """Bytes, kibibytes and mebibytes, each with its unit."""
    assert html.size(value) == text


def test_blame_is_told_in_page_and_terminal() -> None:
    """Which layer, and how one knows; where nobody can be blamed, that."""
    the_verdict = a_verdict(a_plan())
    told = Page(html.render(a_story()))
    assert {attrs["data-layer"] for _, attrs in told.tags if "data-layer" in attrs} == {"archiver"}
    assert "is in Kafka at offset 7, and in no segment" in " ".join(told.words)
    lost = the_verdict.tenants[0].findings[0]
    assert terminal.describe(lost).endswith("Blame: archiver. is in Kafka at offset 7, and in no segment.")
    nobody = msgspec.structs.replace(lost, blame=verdict.Blame(layer=None, words="nothing was stored"))
    assert terminal.describe(nobody).endswith("Blame: not known. nothing was stored.")
    assert "Blame" not in terminal.describe(msgspec.structs.replace(lost, blame=None))
