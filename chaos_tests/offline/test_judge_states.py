"""Which transactions are in a restored state: by hand, and against brute force on tiny histories."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from harness.judge import states
from harness.judge.differences import Elsewhere, differences
from harness.judge.settling import settle
from harness.judge.states import Solution, State, Step, fold
from harness.judge.timeline import NEVER, Timeline, Transaction, read_changes
from harness.model import history as h
from harness.model.history import Outcome
from harness.model.values import Image, RowKey, image_of, keys_begin, row_key, table_and_key

OWNED = keys_begin(["t"])
ONE = row_key("t", ("1",))
TWO = row_key("t", ("2",))
THREE = row_key("t", ("3",))
FOUR = row_key("t", ("4",))


def image(text: str) -> Image:
    """A row with one column."""
    return image_of({"v": text})


def step(
    name: str,
    begun_s: float,
    ended_s: float,
    writes: Mapping[RowKey, str | None],
    *,
    outcome: Outcome = "acked",
    maybe: Iterable[RowKey] = (),
) -> Step:
    """A step that ran from ``begun_s`` to ``ended_s``; a text stands for a row's image."""
    tx = Transaction(
        order=0,
        name=name,
        actor="writer",
        tenant="a",
        cluster=1,
        xid=0,
        begun_s=begun_s,
        sent_s=begun_s,
        ended_s=ended_s if outcome == "acked" else NEVER,
        outcome=outcome,
    )
    rows = {row: None if text is None else image(text) for row, text in writes.items()}
    return Step(tx=tx, writes=rows, maybe=frozenset(maybe))


def solve(steps: list[Step], found: Mapping[RowKey, Image], *, forced: bool = False) -> Solution:
    """What is found out of a state; the same where the rows after all steps were worked out before.

    A state that fits is found to fit at once, without a look for reasons.
    """
    solution = states.solve(steps, found, forced=forced)
    known = State(steps=len(steps), rows=fold(steps))
    again = states.solve(steps, found, forced=forced, known=known)
    for one in (solution, again):
        assert forced or one.exact == (one.reasons == {})
        assert one.found == found
    assert (again.inside, again.holes, set(again.strange)) == (
        solution.inside,
        solution.holes,
        set(solution.strange),
    )
    return solution


def inside(solution: Solution) -> set[str]:
    """The names of the steps that are in."""
    pairs = zip(solution.steps, solution.inside, strict=True)
    return {step.tx.name for step, there in pairs if there}


def lacking(solution: Solution) -> list[str]:
    """The names of the committed steps that the state lacks."""
    return [step.tx.name for step in solution.lacking()]


def test_everything_found_means_everything_is_in() -> None:
    """A state with all rows lacks nothing."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {TWO: "b"})]
    solution = solve(steps, {ONE: image("a"), TWO: image("b")})
    assert inside(solution) == {"A", "B"}
    assert solution.holes == ()
    assert lacking(solution) == []


def test_a_missing_tail_is_a_loss_and_no_hole() -> None:
    """The last step may be left out without a hole."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {TWO: "b"})]
    solution = solve(steps, {ONE: image("a")})
    assert lacking(solution) == ["B"]
    assert solution.inside == [True, False]
    assert solution.holes == ()


def test_a_row_lost_in_the_middle_is_a_hole_with_its_witness() -> None:
    """A later step is in, so the earlier one that finished before it began had to be."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {TWO: "b"})]
    solution = solve(steps, {TWO: image("b")})
    assert [hole.row for hole in solution.holes] == [ONE]
    assert solution.steps[solution.witness(0)].tx.name == "B"
    assert lacking(solution) == ["A"]


def test_two_writers_that_overlap_may_be_in_either_way() -> None:
    """Neither of two concurrent steps demands the other."""
    steps = [step("A", 0, 5, {ONE: "a"}), step("B", 1, 4, {TWO: "b"})]
    for found, left_out in (({ONE: image("a")}, ["B"]), ({TWO: image("b")}, ["A"])):
        solution = solve(steps, found)
        assert lacking(solution) == left_out
        assert solution.holes == ()


def test_a_step_that_began_as_another_ended_does_not_demand_it() -> None:
    """Ending and beginning in the same instant is not one before the other; a moment later is."""
    first, at_once = step("A", 0, 1, {ONE: "a"}), step("B", 1, 2, {TWO: "b"})
    assert solve([first, at_once], {TWO: image("b")}).holes == ()
    assert solve([first, step("B", 1.001, 2, {TWO: "b"})], {TWO: image("b")}).holes != ()


def test_steps_on_one_row_follow_each_other_even_if_they_overlap() -> None:
    """The row's lock orders them: the later image brings the earlier step and its other rows."""
    steps = [step("A", 0, 5, {ONE: "a", TWO: "a2"}), step("B", 1, 6, {ONE: "b"})]
    solution = solve(steps, {ONE: image("b")})
    assert [hole.row for hole in solution.holes] == [TWO]


def test_a_transaction_torn_in_two_is_a_hole() -> None:
    """One row of a transaction is there and its other is not."""
    solution = solve([step("A", 0, 1, {ONE: "a", TWO: "b"})], {ONE: image("a")})
    assert [hole.row for hole in solution.holes] == [TWO]
    assert lacking(solution) == ["A"]


def test_an_absent_row_puts_its_deleter_in() -> None:
    """A row whose inserter is in is absent: its deletion is in, and what it wrote with it."""
    steps = [
        step("A", 0, 1, {ONE: "a", TWO: "a2"}),
        step("B", 2, 3, {THREE: "b"}),
        step("C", 4, 5, {ONE: None}),
    ]
    solution = solve(steps, {TWO: image("a2")})
    assert [hole.row for hole in solution.holes] == [THREE]
    assert solution.steps[solution.witness(1)].tx.name == "C"


def test_a_row_that_is_back_is_a_hole_of_its_deletion() -> None:
    """A step after the deletion is in, but the row is there as it was before."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {ONE: None}), step("C", 4, 5, {TWO: "c"})]
    solution = solve(steps, {ONE: image("a"), TWO: image("c")})
    assert [hole.row for hole in solution.holes] == [ONE]
    assert solution.expected(ONE) is None
    assert lacking(solution) == ["B"]


def test_an_open_outcome_is_legal_both_ways() -> None:
    """An unknown commit may be in or not, and later steps do not demand it."""
    steps = [step("A", 0, 1, {ONE: "a"}, outcome="unknown"), step("B", 2, 3, {TWO: "b"})]
    for found in ({ONE: image("a"), TWO: image("b")}, {TWO: image("b")}):
        solution = solve(steps, found)
        assert solution.holes == ()
        assert lacking(solution) == []


def test_an_open_outcome_that_is_in_demands_what_came_before() -> None:
    """An unknown commit whose row is there brings the steps that had finished before it began."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {TWO: "b"}, outcome="unknown")]
    assert [hole.row for hole in solve(steps, {TWO: image("b")}).holes] == [ONE]


def test_an_open_outcome_is_in_whole_or_not_at_all() -> None:
    """One row of an unknown transaction is there and another is not."""
    solution = solve([step("A", 0, 1, {ONE: "a", TWO: "b"}, outcome="unknown")], {ONE: image("a")})
    assert [hole.row for hole in solution.holes] == [TWO]
    assert lacking(solution) == []


def test_an_open_deletion_of_a_row_is_in_when_the_row_is_absent() -> None:
    """The row of a committed insert is gone: the unknown deletion happened."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {ONE: None, TWO: "b"}, outcome="unknown")]
    assert inside(solve(steps, {TWO: image("b")}, forced=True)) == {"A", "B"}
    assert [hole.row for hole in solve(steps, {}, forced=True).holes] == [TWO]


def test_of_several_sets_that_fit_the_one_with_the_least_loss_counts() -> None:
    """A row written and deleted leaves no trace: both steps count as in."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {ONE: None})]
    assert lacking(solve(steps, {})) == []


def test_without_a_trace_only_what_fits_the_rest_counts() -> None:
    """The traceless pair came after a step that is lost, so it is lost too."""
    steps = [
        step("A", 0, 1, {TWO: "lost"}),
        step("B", 2, 3, {ONE: "b"}),
        step("C", 4, 5, {ONE: None}),
    ]
    assert lacking(solve(steps, {})) == ["A", "B", "C"]


def test_an_image_that_two_steps_produced_counts_as_the_later_one_when_it_may() -> None:
    """A value that came back does not make the steps between a loss."""
    steps = [step("A", 0, 1, {ONE: "x"}), step("B", 2, 3, {ONE: "y"}), step("C", 4, 5, {ONE: "x"})]
    assert lacking(solve(steps, {ONE: image("x")})) == []


def test_a_row_that_lags_follows_to_its_next_place_that_fits() -> None:
    """Evidence elsewhere demands the middle step; the row's image is also its last one."""
    steps = [
        step("A", 0, 1, {ONE: "x"}),
        step("B", 2, 3, {ONE: "y", TWO: "b"}),
        step("C", 4, 5, {ONE: "x"}),
    ]
    solution = solve(steps, {ONE: image("x"), TWO: image("b")})
    assert inside(solution) == {"A", "B", "C"}
    assert solution.holes == ()


def test_a_stale_row_shows_how_far_it_came() -> None:
    """The row shows its first of three images, though a step after the last is in."""
    steps = [
        step("A", 0, 1, {ONE: "1"}),
        step("B", 2, 3, {ONE: "2"}),
        step("C", 4, 5, {ONE: "3"}),
        step("D", 6, 7, {TWO: "d"}),
    ]
    solution = solve(steps, {ONE: image("1"), TWO: image("d")})
    assert solution.holes[0].shown == 0
    assert lacking(solution) == ["B", "C"]


def test_a_row_that_no_step_produced_is_strange_and_binds_nothing() -> None:
    """An unknown image neither proves nor excludes the steps on its row."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {TWO: "b"})]
    solution = solve(steps, {ONE: image("?"), TWO: image("b"), THREE: image("!")})
    assert set(solution.strange) == {ONE, THREE}
    assert lacking(solution) == []


def test_a_deletion_that_may_have_missed_a_row_is_legal_both_ways() -> None:
    """A row written while the script ran is either gone or as its writer left it."""
    steps = [step("A", 0, 9, {ONE: "a"}), step("D", 1, 2, {ONE: None}, maybe=[ONE])]
    for found in ({}, {ONE: image("a")}):
        assert solve(steps, found, forced=True).holes == ()
    assert solve(steps, {ONE: image("z")}, forced=True).strange == (ONE,)


def test_a_deletion_that_may_have_missed_a_row_that_never_was_leaves_nothing() -> None:
    """Without a writer before it the row is absent either way."""
    steps = [step("D", 1, 2, {ONE: None, TWO: "d"}, maybe=[ONE])]
    assert solve(steps, {TWO: image("d")}).exact
    assert solve(steps, {ONE: image("?"), TWO: image("d")}).strange == (ONE,)


def test_forced_steps_are_in_and_their_missing_rows_are_holes() -> None:
    """With everything demanded a missing tail is a hole, and nobody else is its witness."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {TWO: "b"})]
    solution = solve(steps, {ONE: image("a")}, forced=True)
    assert [hole.row for hole in solution.holes] == [TWO]
    assert solution.witness(1) == 1


def test_a_hole_that_lags_further_is_one_hole() -> None:
    """Two later steps on a missing row are demanded; the row is reported once, at its last place."""
    steps = [
        step("A", 0, 1, {ONE: "1"}),
        step("B", 2, 3, {ONE: "2"}),
        step("C", 4, 5, {ONE: "3", TWO: None}),
        step("D", 6, 7, {THREE: "d"}),
    ]
    solution = solve(steps, {THREE: image("d")})
    assert [(hole.row, hole.shown, hole.demanded) for hole in solution.holes] == [(ONE, -1, 2)]


def test_a_hole_is_told_by_a_step_that_must_be_in_and_not_by_one_that_may() -> None:
    """An open insert, then a committed one of that row, which is missing: brute force found the crash."""
    steps = [
        step("A", 0, 1, {ONE: "open"}, outcome="unknown"),
        step("B", 2, 3, {ONE: "b"}),
        step("C", 4, 5, {TWO: "c"}),
    ]
    [difference] = differences(solve(steps, {TWO: image("c")}), Elsewhere(tenant="a"))
    assert (difference.kind, difference.operation) == ("missing row", "B")
    assert difference.because == "C, which came after it, is in"


def test_a_lost_deletion_leaves_its_row_there() -> None:
    """The row is as it was before, and nothing that is in came after."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {ONE: None})]
    solution = solve(steps, {ONE: image("a")})
    assert (lacking(solution), solution.exact) == (["B"], True)


def test_what_a_row_should_be_is_what_the_last_step_in_left() -> None:
    """A later step that is out does not count, and a row that nobody wrote should not be."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 3, {ONE: "b"})]
    solution = solve(steps, {ONE: image("a")})
    last = solution.last(ONE)
    assert last is not None
    assert (last.tx.name, solution.expected(ONE)) == ("A", image("a"))
    assert (solution.last(TWO), solution.expected(TWO)) == (None, None)


def because(solution: Solution) -> list[str | None]:
    """Why what is missing should be there."""
    return [difference.because for difference in differences(solution, Elsewhere(tenant="a"))]


def test_a_witness_is_found_over_steps_between() -> None:
    """C shows itself and wrote a row after B, which began after A had ended; C itself began before."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("B", 2, 6, {TWO: "b"}), step("C", 0.5, 7, {TWO: "c"})]
    solution = solve(steps, {TWO: image("c")})
    assert [hole.row for hole in solution.holes] == [ONE]
    assert because(solution) == ["C, which came after it, is in"]


def test_a_step_tells_of_its_own_missing_row() -> None:
    """By another row: one seen at once, or one that followed what others demanded; else nobody does."""
    torn = [step("A", 0, 1, {ONE: "a", TWO: "b"})]
    assert because(solve(torn, {ONE: image("a")})) == ["its own row t 1 says that it is in"]
    following = [
        step("A", 0, 1, {ONE: "x"}),
        step("B", 2, 3, {ONE: "y", TWO: "b"}),
        step("C", 4, 5, {ONE: "x", THREE: "c"}),
    ]
    found = {ONE: image("x"), TWO: image("b")}
    assert because(solve(following, found)) == ["its own row t 1 says that it is in"]
    assert because(solve(torn, {}, forced=True)) == [None, None]


def test_a_long_step_does_not_hide_a_short_one_that_ended_before() -> None:
    """Steps come in the order of their COMMITs, which need not be the one of their ends or beginnings."""
    steps = [step("A", 0, 9, {ONE: "a"}), step("B", 1, 2, {TWO: "b"}), step("C", 3, 4, {THREE: "c"})]
    assert [hole.row for hole in solve(steps, {THREE: image("c")}).holes] == [TWO]
    late = [
        step("A", 2, 3, {ONE: "lost"}),
        step("X", 4, 5, {TWO: "x"}),
        step("Y", 4.5, 6, {TWO: None}),
        step("L", 0, 7, {THREE: "l"}),
    ]
    assert lacking(solve(late, {THREE: image("l")})) == ["A", "X", "Y"]


def test_a_traceless_step_that_began_as_a_lost_one_ended_is_in() -> None:
    """Nothing says that it came after; nor, amid other holes, that the lost one should be there."""
    steps = [step("A", 0, 1, {ONE: "a"}), step("X", 1, 2, {TWO: "x"}), step("Y", 1, 3, {TWO: None})]
    assert lacking(solve(steps, {})) == ["A"]
    torn = [
        step("A", 0, 1, {ONE: "a"}),
        step("B", 1, 2, {TWO: "b"}),
        step("D", 0, 9, {THREE: "d", FOUR: "d"}),
    ]
    assert [hole.row for hole in solve(torn, {TWO: image("b"), THREE: image("d")}).holes] == [FOUR]


def test_beside_holes_and_strange_rows_the_others_are_judged_as_ever() -> None:
    """A is demanded, C may be in under the strange row, and E, which also wrote that row, is lost."""
    steps = [
        step("A", 0, 1, {ONE: "a"}),
        step("B", 2, 3, {TWO: "b"}),
        step("C", 0, 8, {THREE: "c"}),
        step("E", 2.5, 9, {FOUR: "e", THREE: "e"}),
    ]
    solution = solve(steps, {TWO: image("b"), THREE: image("?")})
    assert ([hole.row for hole in solution.holes], solution.strange) == ([ONE], (THREE,))
    assert inside(solution) == {"A", "B", "C"}
    assert lacking(solution) == ["A", "E"]


def test_what_came_after_a_hole_on_its_row_is_not_lost_for_sure() -> None:
    """Nothing demands C, and its row says nothing any more."""
    steps = [step("A", 0, 1, {ONE: "1"}), step("B", 2, 3, {TWO: "b"}), step("C", 4, 5, {ONE: "2"})]
    solution = solve(steps, {TWO: image("b")})
    assert [(hole.row, hole.demanded) for hole in solution.holes] == [(ONE, 0)]
    assert lacking(solution) == ["A"]


def test_fold_gives_the_rows_after_all_steps() -> None:
    """Rows inserted, changed and deleted, in order."""
    steps = [step("A", 0, 1, {ONE: "1", TWO: "2"}), step("B", 2, 3, {ONE: "3", TWO: None, THREE: None})]
    assert fold(steps) == {ONE: image("3")}


def test_two_hundred_thousand_changes_are_solved_in_seconds() -> None:
    """The state of a large tenant, and of one whose tail is lost, takes time in proportion to its size."""
    steps = [
        step(f"T{n}", n, n + 0.5, {row_key("t", (str(n * 10 + k),)): f"{n}.{k}" for k in range(10)})
        for n in range(20_000)
    ]
    hot = [step(f"H{n}", n + 0.1, n + 0.6, {ONE: f"hot {n}"}) for n in range(20_000)]
    both = sorted([*steps, *hot], key=lambda s: s.tx.begun_s)
    whole, half = fold(both), fold(both[:20_000])
    began_s = time.process_time()
    assert lacking(solve(both, whole)) == []
    assert len(lacking(solve(both, half))) == 20_000
    assert time.process_time() - began_s < 30.0  # about 5 s; a coverage run takes thrice as long


# The reference: every set of steps is tried.


def closed(steps: Sequence[Step], chosen: frozenset[int]) -> bool:
    """Whether a set of steps is closed under "finished before" and under order on the same row."""
    for b in chosen:
        for a, earlier in enumerate(steps):
            if a in chosen or not earlier.required:
                continue
            same_row = a < b and earlier.writes.keys() & steps[b].writes.keys()
            if earlier.tx.ended_s < steps[b].tx.begun_s or same_row:
                return False
    return True


def every_fit(steps: Sequence[Step], found: Mapping[RowKey, Image]) -> list[frozenset[int]]:
    """All closed sets whose effects are exactly ``found``."""
    numbers = range(len(steps))
    sets = (frozenset(c) for size in range(len(steps) + 1) for c in itertools.combinations(numbers, size))
    return [s for s in sets if closed(steps, s) and fold(steps[n] for n in sorted(s)) == found]


class _Pool:
    """Rows as a database holds them while transactions commit or not, one writer of a row at a time."""

    def __init__(self) -> None:
        self.rows: dict[RowKey, Image] = {}

    def change(self, row: RowKey, text: str, *, delete: bool) -> h.Change:
        """Change a row as far as it is there: insert, or update or delete."""
        there = self.rows.pop(row, None) is not None
        if there and delete:
            return h.Change(op="delete", key=row)
        self.rows[row] = image_of({"id": table_and_key(row)[1][0], "v": text})
        return h.Change(op="update" if there else "insert", key=row, row=self.rows[row])


def _sent(tx: Transaction) -> h.Sent:
    return h.Sent(
        at_s=tx.sent_s,
        name=tx.name,
        actor="writer",
        tenant=tx.tenant,
        cluster=tx.cluster,
        xid=tx.xid,
        begun_s=tx.begun_s,
        lsn_lower=0,
        changes=tx.unread,
    )


def test_strange_rows_come_in_the_order_in_which_they_were_read() -> None:
    """A run judged again says the same in the same order, whatever hashes its process has."""
    found = {row_key("t", (f"x{n}",)): image("never") for n in range(20)}
    assert states.solve([], found).strange == tuple(found)


@st.composite
def tiny_histories(draw: st.DrawFn) -> list[Step]:
    """Up to seven steps over three rows, overlapping as they like, some with outcomes that nobody saw."""
    pool, transactions = _Pool(), []
    drawn = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8), st.integers(1, 8)), max_size=7))
    for number, (sent_s, before_s, after_s) in enumerate(sorted(drawn)):
        committed = draw(st.sampled_from(("acked", "acked", "acked", "unknown", "lost")))
        rows = draw(st.sets(st.sampled_from((ONE, TWO, THREE)), min_size=1))
        saved = dict(pool.rows)
        changes = tuple(pool.change(row, f"{number}", delete=draw(st.booleans())) for row in sorted(rows))
        if committed == "lost":
            pool.rows = saved
        transactions.append(
            Transaction(
                order=number,
                name=f"T{number}",
                actor="writer",
                tenant="a",
                cluster=1,
                xid=number,
                begun_s=sent_s - before_s,
                sent_s=sent_s,
                ended_s=sent_s + after_s if committed == "acked" else NEVER,
                outcome="acked" if committed == "acked" else "unknown",
                unread=changes,
            )
        )
        read_changes(transactions[-1], h.encode_line(_sent(transactions[-1])), OWNED)
    timeline = Timeline(
        by_tenant={"a": transactions},
        in_doubt=transactions,
        others=(),
        beyond=(),
        restores=(),
        epochs={},
        systems={},
        destroyed_s=NEVER,
        wiped_s=NEVER,
        entries={},
    )
    settle(timeline, OWNED)
    return [Step(tx=tx, writes=tx.writes) for tx in transactions if tx.outcome != "refused"]


@given(tiny_histories(), st.data())
def test_the_solution_is_the_largest_set_that_brute_force_finds(
    steps: list[Step], data: st.DataObject
) -> None:
    """Where any set fits, the solution is the union of all that do; where none does, it says so."""
    chosen = data.draw(st.sets(st.sampled_from(range(len(steps)))) if steps else st.just(set()))
    found = fold(steps[n] for n in sorted(chosen))
    fits = every_fit(steps, found)
    solution = solve(steps, found)
    exact = not solution.holes and not solution.strange
    assert exact == bool(fits)
    if fits:
        assert {n for n, there in enumerate(solution.inside) if there} == frozenset().union(*fits)


@given(tiny_histories())
def test_everything_committed_is_demanded_where_it_is_forced(steps: list[Step]) -> None:
    """Brute force agrees on whether found rows can hold every committed step."""
    found = fold(step for step in steps if step.required)
    required = {n for n, step in enumerate(steps) if step.required}
    solution = solve(steps, found, forced=True)
    assert required <= {n for n, there in enumerate(solution.inside) if there}
    assert any(required <= fit for fit in every_fit(steps, found)) == (not solution.holes)
