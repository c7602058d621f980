"""Point 7: the archive never forks. The version under a name that restores need stays the one it is.

The subject names its needs before each attack and at the end. What it needs later may be other objects
(folded ones, say); but a name that it still needs, in another version, is somebody else's in its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from harness.judge.case import Case
from harness.judge.check import Check
from harness.model.history import Need, NeedsNamed
from harness.model.verdict import Finding

NAME = "chain"


def _run(case: Case) -> Iterator[Finding]:
    for earlier, later in pairwise(case.timeline.of(NeedsNamed)):
        after = _versions(later.needs)
        for key, versions in _versions(earlier.needs).items():
            if key in after and versions - after[key]:
                yield Finding(
                    check=NAME,
                    point=7,
                    verdict="broken",
                    message=f"restores needed {key} in version {_words(versions)}, and then in version"
                    f" {_words(after[key])}: another object took its place",
                )


def _versions(needs: Iterable[Need]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for need in needs:
        for key, version in need.objects:
            found[key].add(version)
    return found


def _words(versions: set[str]) -> str:
    return " and ".join(sorted(versions))


CHECK = Check(name=NAME, point=7, run=_run)
