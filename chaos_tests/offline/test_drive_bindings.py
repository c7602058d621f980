"""Handles are bound to the rows that came back, and to nothing that was not acknowledged."""

from __future__ import annotations

import pytest

from harness import schemas
from harness.drive.bindings import Bindings, Draft, Unbound, dependents_of
from harness.model.filler import expand_filler
from harness.model.operations import Filler, Ref
from harness.model.values import INLINE_CHARS_MAX, RawRow

SHOP = schemas.load("shop").schema
HELPDESK = schemas.load("helpdesk").schema
MERCHANT, PURCHASE, LINE = SHOP.tables
TICKETS, COMMENTS = HELPDESK.table("helpdesk.tickets"), HELPDESK.table("helpdesk.comments")


def bound(*handles: str) -> Bindings:
    """Return bindings in which each handle is bound to a purchase with that id."""
    bindings = Bindings()
    draft = Draft(bindings)
    for handle in handles:
        draft.made(handle, PURCHASE, {"id": handle, "merchant": "acme"})
    bindings.adopt(draft)
    return bindings


def test_a_draft_sees_what_its_own_transaction_made() -> None:
    """An operation can name a row that an earlier one of the same transaction inserted."""
    draft = Draft(Bindings())
    draft.made("p", PURCHASE, {"id": "7", "merchant": "acme"})
    assert draft.resolve({"purchase": Ref(handle="p", column="id")}) == {"purchase": "7"}


def test_a_draft_that_is_not_adopted_leaves_nothing() -> None:
    """What a refused transaction made can't be named afterwards."""
    bindings = bound("old")
    Draft(bindings).made("new", PURCHASE, {"id": "8"})
    with pytest.raises(Unbound, match="new names no row"):
        Draft(bindings).row("new")


def test_a_changed_key_is_followed() -> None:
    """After an acknowledged change of its key, a handle stands for the row under the new key."""
    bindings = bound("p")
    draft = Draft(bindings)
    draft.became("p", PURCHASE, {"id": "other"})
    bindings.adopt(draft)
    assert Draft(bindings).row("p").key == ("other",)
    assert list(bindings.names([PURCHASE.name])) == [(PURCHASE.name, ("other",))]


def test_a_deleted_row_has_no_handle() -> None:
    """A handle whose row was deleted names nothing."""
    bindings = bound("p")
    draft = Draft(bindings)
    draft.gone("p")
    bindings.adopt(draft)
    with pytest.raises(Unbound):
        Draft(bindings).row("p")


def test_shared_rows_can_be_named_by_every_tenant() -> None:
    """A handle that the tenant does not know is looked up among the shared rows."""
    assert Draft(Bindings(bound("lookup"))).row("lookup").key == ("lookup",)


def test_fillers_are_expanded_and_long_cells_not_kept() -> None:
    """A long text goes to the database in full, but no reference to it is kept in memory."""
    filler = Filler(seed=1, chars=INLINE_CHARS_MAX + 1)
    bindings = Bindings()
    draft = Draft(bindings)
    values = draft.resolve({"remark": filler})
    assert values == {"remark": expand_filler(filler)}
    draft.made("p", PURCHASE, {"id": "7", **values})
    with pytest.raises(Unbound, match="no short value in remark"):
        draft.resolve({"remark": Ref(handle="p", column="remark")})


def test_after_a_restore_only_its_rows_are_known() -> None:
    """Handles of rows that the restore took back are unbound; the others have the restored values."""
    bindings = bound("kept", "lost")
    bindings.now_are({PURCHASE.name: {("kept",): {"id": "kept", "merchant": "restored"}}})
    assert Draft(bindings).row("kept").cells["merchant"] == "restored"
    with pytest.raises(Unbound):
        Draft(bindings).row("lost")


def ticket_with_comment() -> Bindings:
    """Return bindings of a ticket and a comment on it, which a deletion of the ticket would take along."""
    bindings = Bindings()
    draft = Draft(bindings)
    draft.made("ticket", TICKETS, {"tenant_id": "1", "number": "5", "id": "50"})
    draft.made("comment", COMMENTS, {"id": "500", "ticket_id": "50"})
    bindings.adopt(draft)
    return bindings


def test_a_row_with_unknown_children_is_not_deleted() -> None:
    """A cascade would take rows that no writer sees going."""
    with pytest.raises(Unbound, match="ticket has rows in"):
        Draft(ticket_with_comment()).demand_childless("ticket", dependents_of(HELPDESK))


def test_a_row_whose_children_go_first_may_be_deleted() -> None:
    """Children that the same transaction deleted, or moved elsewhere, are in nobody's way."""
    draft = Draft(ticket_with_comment())
    draft.gone("comment")
    draft.demand_childless("ticket", dependents_of(HELPDESK))
    draft = Draft(ticket_with_comment())
    draft.became("comment", COMMENTS, {"id": "500", "ticket_id": "51"})
    draft.demand_childless("ticket", dependents_of(HELPDESK))
    assert draft.row("ticket").key == ("1", "5")


def test_a_child_that_a_restore_brought_back_counts() -> None:
    """A row without a handle is known all the same, once it was read back."""
    bindings = ticket_with_comment()
    comment: RawRow = {"id": "501", "ticket_id": "50"}
    ticket: RawRow = {"tenant_id": "1", "number": "5", "id": "50"}
    bindings.now_are({TICKETS.name: {("1", "5"): ticket}, COMMENTS.name: {("501",): comment}})
    with pytest.raises(Unbound, match="that its plan does not know of"):
        Draft(bindings).demand_childless("ticket", dependents_of(HELPDESK))
