"""Attacks the archive as the plan says, with the bucket's credentials, and journals each act's answer.

To add a kind of attack: one word in ``model.attacks``, one function here, one line in ``PERFORM``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.forgery import MEANINGLESS, forge, newest_numbered, next_name
from harness.drive.ports import Answer, ObjectVersion
from harness.model.attacks import Attack, AttackKind, Moment
from harness.model.history import Attacked

TRIES = 5
"""How often the attacker runs after a next name that the archiver wrote first."""

FOREIGN = ("0", "man/0", "man/000000000000", "man/zzz", "seg/00000001/planted", "zzz")
"""Names before, among and after those that an archive gives its objects."""

Act = Callable[[str, ObjectVersion, Awaitable[Answer]], Awaitable[Answer]]


class Attacker:
    """The attacks of one drill. ``begin`` those of a moment, and wait until they are ``done``.

    ``before`` is awaited before each: it has the subject name what restores need while nobody meddled.
    """

    def __init__(self, drill: Drill, before: Callable[[], Awaitable[None]]) -> None:
        self._drill = drill
        self._before = before
        self.intruder = drill.world.intruder
        self._due: set[asyncio.Task[None]] = set()

    @property
    def tables(self) -> list[str]:
        """Names of the tables that a forged entry would empty."""
        return [table.name for table in self._drill.schema.owned]

    def begin(self, moment: Moment, crew: Crew) -> None:
        """Let the attacks of ``moment`` fall due; their times count from now."""
        for number, attack in enumerate(self._drill.plan.attacks):
            if attack.moment == moment:
                self._due.add(crew.go(self._attack(number, attack), f"attack {number}"))

    async def done(self) -> None:
        """Wait until all attacks begun are through; raises TimedOut."""
        if self._due:
            longest_s = max(attack.after_s for attack in self._drill.plan.attacks)
            limit_s = longest_s + self._drill.plan.limits.settle_s
            await self._drill.within(limit_s, "the attacks are through", asyncio.wait(self._due))
            self._due.clear()

    async def aimed_at(self, attack: Attack) -> list[ObjectVersion]:
        """Return the versions at which an attack aims, each once."""
        there = await self.intruder.versions()
        return list(dict.fromkeys(there[len(there) * aim // 1000] for aim in attack.aims if there))

    async def _attack(self, number: int, attack: Attack) -> None:
        await self._drill.clock.sleep(attack.after_s)
        await self._before()

        async def act(words: str, at: ObjectVersion, doing: Awaitable[Answer]) -> Answer:
            answer = await doing
            self._drill.journal.write(
                Attacked(
                    at_s=self._drill.journal.now_s(),
                    attack=number,
                    act=words,
                    key=at.key,
                    version=at.version,
                    refused=answer.refused,
                    answer=answer.words,
                )
            )
            return answer

        await PERFORM[attack.kind](self, attack, act)


BUCKET: Final = ObjectVersion(key="", version="")


async def _overwrite(attacker: Attacker, attack: Attack, act: Act) -> None:
    for at in await attacker.aimed_at(attack):
        await act("overwrite", at, attacker.intruder.put(at.key, MEANINGLESS, new=False))


async def _delete(attacker: Attacker, attack: Attack, act: Act) -> None:
    for at in await attacker.aimed_at(attack):
        await act("delete", at, attacker.intruder.delete(at.key, at.version))


async def _bypass(attacker: Attacker, attack: Attack, act: Act) -> None:
    for at in await attacker.aimed_at(attack):
        await act("bypass", at, attacker.intruder.delete(at.key, at.version, bypass=True))


async def _hide(attacker: Attacker, attack: Attack, act: Act) -> None:
    for at in await attacker.aimed_at(attack):
        await act("hide", at, attacker.intruder.delete(at.key, None))


async def _shorten(attacker: Attacker, attack: Attack, act: Act) -> None:
    for at in await attacker.aimed_at(attack):
        for mode in ("COMPLIANCE", "GOVERNANCE"):
            await act(f"shorten, {mode}", at, attacker.intruder.shorten(at.key, at.version, mode=mode))


async def _suspend(attacker: Attacker, attack: Attack, act: Act) -> None:
    await act("suspend versioning", BUCKET, attacker.intruder.suspend_versioning())
    await _overwrite(attacker, attack, act)


async def _remove_lock(attacker: Attacker, attack: Attack, act: Act) -> None:
    await act("remove lock rule", BUCKET, attacker.intruder.remove_lock_rule())
    await _delete(attacker, attack, act)


async def _add_foreign(attacker: Attacker, attack: Attack, act: Act) -> None:  # noqa: ARG001 - see PERFORM
    for key in FOREIGN:
        at = ObjectVersion(key=key, version="")
        await act("add", at, attacker.intruder.put(key, MEANINGLESS, new=False))


async def _forge(attacker: Attacker, attack: Attack, act: Act) -> None:  # noqa: ARG001 - see PERFORM
    async def forged(last: ObjectVersion) -> bytes:
        return forge(await attacker.intruder.read(last.key, last.version), attacker.tables)

    await _take_next_name(attacker, act, forged)


async def _plant(attacker: Attacker, attack: Attack, act: Act) -> None:  # noqa: ARG001 - see PERFORM
    async def planted(last: ObjectVersion) -> bytes:  # noqa: ARG001 - of no meaning, whatever comes before
        return MEANINGLESS

    await _take_next_name(attacker, act, planted)


async def _replay(attacker: Attacker, attack: Attack, act: Act) -> None:  # noqa: ARG001 - see PERFORM
    async def copied(last: ObjectVersion) -> bytes:
        return await attacker.intruder.read(last.key, last.version)

    await _take_next_name(attacker, act, copied)


async def _take_next_name(
    attacker: Attacker, act: Act, body: Callable[[ObjectVersion], Awaitable[bytes]]
) -> None:
    """Put an object under the name that comes next, before the archiver does."""
    for _ in range(TRIES):
        oldest = _oldest(await attacker.intruder.versions())
        newest = newest_numbered(oldest)
        if newest is None:
            await act("look", BUCKET, _nothing_to_guess())
            return
        at = ObjectVersion(key=next_name(newest), version="")
        answer = await act(
            "take the next name",
            at,
            attacker.intruder.put(at.key, await body(oldest[newest]), new=True),
        )
        if not answer.refused:
            return


def _oldest(versions: Sequence[ObjectVersion]) -> dict[str, ObjectVersion]:
    oldest: dict[str, ObjectVersion] = {}
    for version in versions:
        oldest.setdefault(version.key, version)
    return oldest


async def _nothing_to_guess() -> Answer:
    return Answer(refused=True, words="no object's name is a number that could be counted on")


PERFORM: Final[Mapping[AttackKind, Callable[[Attacker, Attack, Act], Awaitable[None]]]] = {
    "overwrite": _overwrite,
    "delete": _delete,
    "bypass governance": _bypass,
    "delete marker": _hide,
    "shorten retention": _shorten,
    "suspend versioning": _suspend,
    "remove lock": _remove_lock,
    "forge entry": _forge,
    "plant next key": _plant,
    "foreign objects": _add_foreign,
    "replay entry": _replay,
}
"""For each kind of attack, how it is performed."""
