"""Faults as values: each kind has a name, a line in the table, and a length that budgets are made from."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from harness.model.faults import (
    KINDS,
    STAGES,
    TARGETS,
    CancelCommit,
    CutLink,
    DelayLink,
    Fault,
    FullStore,
    Kill,
    Pause,
    Service,
    blocks,
    name_of,
    names,
    outage_s,
    outlives,
    touches,
)


def kill(service: Service, after_s: float, down_s: float, phase: str = "write") -> Kill:
    """A kill in a phase."""
    return msgspec.convert(
        {"kind": "kill", "service": service, "phase": phase, "after_s": after_s, "down_s": down_s}, Kill
    )


def test_every_kind_has_its_line() -> None:
    """The union and the table hold the same kinds, and every stage is touched by some."""
    assert set(KINDS) == set(get_args(Fault))
    stages = {stage for one in TARGETS.values() for stage in one.stages}
    stages |= {stage for traits in KINDS.values() if traits.touches for stage in traits.touches.stages}
    assert stages == set(STAGES)
    for kind, traits in KINDS.items():
        assert bool(traits.targets) != bool(traits.touches), kind


def test_names_are_kind_and_target() -> None:
    """A name is unique, and every fault's name is among those of its kind."""
    everything = [name for kind in KINDS for name in names(kind)]
    assert len(everything) == len(set(everything))
    assert name_of(kill("archiver", 0, 0)) == "kill archiver"
    cut = CutLink(link="connect-kafka", phase="write", after_s=0, down_s=0)
    assert name_of(cut) == "cut connect-kafka"
    assert name_of(CancelCommit(phase="write", after_s=0, down_s=0)) == "cancel commit"
    assert {name_of(cut), "cancel commit", "kill archiver"} <= set(everything)


def test_a_fault_is_json_with_its_kind() -> None:
    """A plan's file names the kind, and refuses a fault that there is none of."""
    fault = DelayLink(link="archiver-minio", phase="script", after_s=1, down_s=2, delay_ms=50)
    assert msgspec.json.decode(msgspec.json.encode(fault), type=Fault) == fault
    with pytest.raises(msgspec.ValidationError, match="earthquake"):
        msgspec.json.decode(b'{"kind":"earthquake"}', type=Fault)


def test_what_a_fault_blocks_follows_from_its_target() -> None:
    """A frozen standby freezes commits; a delay blocks nothing, and touches the same stages."""
    assert blocks(Pause(service="standby", phase="write", after_s=0, down_s=1), "commits")
    assert not blocks(Pause(service="archiver", phase="write", after_s=0, down_s=1), "commits")
    assert blocks(CancelCommit(phase="write", after_s=0, down_s=1), "commits")
    delay = DelayLink(link="clients-primary", phase="write", after_s=0, down_s=1)
    assert touches(delay).stages == ("ack",)
    assert not blocks(delay, "commits")


def test_links_and_the_bucket_outlive_the_destruction() -> None:
    """Their faults have to be healed after it; a killed archiver has not."""
    assert outlives(CutLink(link="connect-primary", phase="write", after_s=0, down_s=1))
    assert outlives(FullStore(phase="write", after_s=0, down_s=1))
    assert outlives(kill("minio", 0, 1))
    assert not outlives(kill("archiver", 0, 1))


def test_windows_that_meet_are_one_outage() -> None:
    """The longest outage counts; phases begin nobody knows when, so theirs are added up."""
    assert outage_s(()) == 0
    assert outage_s((kill("archiver", 1, 2), kill("connect", 2, 3))) == 4
    assert outage_s((kill("archiver", 1, 2), kill("connect", 4, 3))) == 3
    assert outage_s((kill("archiver", 1, 2), kill("connect", 4, 3)), apart_s=1.5) == 6
    assert outage_s((kill("archiver", 1, 2), kill("connect", 1, 1, phase="restore"))) == 3
