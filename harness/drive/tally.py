"""Running counts of a drill: for the floors to be reached before the script, and for whoever watches."""

from __future__ import annotations

from collections import defaultdict, deque

from harness.drive.progress import Counts
from harness.model.history import Done
from harness.model.plan import Plan, TenantPlan

ROLLED_BACK = "rolled back as planned"


class Tally:
    """Counts acks, refusals and restores. Seconds are those of the drill."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._acks: dict[str, list[float]] = defaultdict(list)
        self._past_watermark: deque[tuple[int, float]] = deque()
        self._acked = 0
        self._refused = 0
        self.probed_lsn = 0
        self.restored = 0
        self.to_restore = 0

    def heard(self, done: Done) -> None:
        """Count the outcome of a writer's transaction, and note where the last probe is."""
        if done.actor == "probe":
            self.probed_lsn = max(self.probed_lsn, done.lsn_upper or 0)
        if done.actor != "writer" or done.tenant is None:
            return
        if done.outcome == "acked":
            self._acked += 1
            self._acks[done.tenant].append(done.at_s)
            self._past_watermark.append((done.lsn_upper or 0, done.at_s))
        elif done.detail != ROLLED_BACK:
            self._refused += 1

    def archived(self, lsn: int) -> None:
        """Note that the watermark came to ``lsn``. Acks come nearly, not quite, in the order of LSNs."""
        waiting = self._past_watermark
        while waiting and waiting[0][0] <= lsn:
            waiting.popleft()

    def forget_positions(self) -> None:
        """Note that the cluster is gone: its positions mean nothing any more."""
        self._past_watermark.clear()
        self.probed_lsn = 0

    def counts(self, now_s: float) -> Counts:
        """Return where the drill is."""
        waiting = self._past_watermark
        return Counts(
            acked=self._acked,
            refused=self._refused,
            exposure_s=now_s - waiting[0][1] if waiting else 0.0,
            restored=self.restored,
            to_restore=self.to_restore,
        )

    def short_of_floors(self, now_s: float) -> list[str]:
        """Return the tenants that a script would now hit before they have written what a proof needs."""
        return [tenant.tenant for tenant in self._plan.tenants if not self._ripe(tenant, now_s)]

    def _ripe(self, tenant: TenantPlan, now_s: float) -> bool:
        acks = self._acks[tenant.tenant]
        edge_s = now_s - self._plan.budget_s
        older = sum(ack_s < edge_s for ack_s in acks[: self._older(tenant)])
        younger = sum(ack_s >= edge_s for ack_s in acks[-self._younger(tenant) :])
        return (
            older >= self._older(tenant)
            and younger >= self._younger(tenant)
            and len(acks) >= self._least(tenant)
        )

    def _older(self, tenant: TenantPlan) -> int:
        return min(self._planned(tenant), self._plan.floors.older_than_budget)

    def _younger(self, tenant: TenantPlan) -> int:
        left = self._planned(tenant) - self._older(tenant)
        return 0 if tenant.quiet else min(left, self._plan.floors.younger_than_budget)

    def _least(self, tenant: TenantPlan) -> int:
        return min(self._planned(tenant), self._plan.floors.transactions_per_tenant)

    def _planned(self, tenant: TenantPlan) -> int:
        """How many transactions the tenant is to commit; a quiet one only those before the incident."""
        counts = tenant.write_counts if tenant.quiet else [None] * len(tenant.writers)
        return sum(
            transaction.commit
            for writer, count in zip(tenant.writers, counts, strict=True)
            for transaction in writer[:count]
        )
