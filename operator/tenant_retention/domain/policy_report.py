"""What one reconcile of a policy learned: the values that its status is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.backup_status import BackupReport
from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.encryption import EncryptionState
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.left_behind import LeftStore
from tenant_retention.domain.names import Place
from tenant_retention.domain.readiness import HealthState
from tenant_retention.domain.run_status import RunReport


@dataclass(frozen=True)
class StoreReport:
    """One store as this reconcile found it; ``problem`` None: it answers and is as wanted. ``warnings``: what only the
    server's owner can change."""

    purpose: str
    type: str
    class_name: str | None = None
    data_store: str | None = None
    region: str | None = None
    problem: RetentionError | None = None
    warnings: tuple[str, ...] = ()
    place: Place | None = None
    leaving: bool = False

    @property
    def name(self) -> str:
        """The name of its place; a home store's is its purpose."""
        return self.place.name if self.place is not None else self.purpose

    @property
    def at_home(self) -> bool:
        """Whether it lies in no further region and belongs to no unit alone."""
        return self.place is None or self.place == Place(self.purpose)


@dataclass(frozen=True)
class BindingReport:
    """A Secret handed out in the policy's namespace; ``role`` is App, Reader or Enforcer."""

    name: str
    purpose: str
    role: str
    region: str = ""
    unit: str = ""


@dataclass(frozen=True)
class PolicyReport:
    """Everything one reconcile learned. ``problem``: what the user (Invalid) or time (others) must solve; the rest is
    still told. ``definition``: what the stores hold now, which is the last good one when the spec is invalid. ``probed``:
    how many databases and buckets of others the last look of the isolation probe tried, of how many. ``last_deadlines``: of
    databases that could not be counted, by purpose and category, as they were last counted. ``holds``: see
    ``live_holds.hold_rows``."""

    generation: int
    mode: str
    suspended: bool
    problem: RetentionError | None = None
    definition: RetentionDefinition | None = None
    profile: RetentionProfileSpec | None = None
    stores: tuple[StoreReport, ...] = ()
    counts: Counts = field(default_factory=Counts)
    runs: RunReport = field(default_factory=RunReport)
    enforced: bool = False
    cron: str | None = None
    time_zone: str | None = None
    next_run: datetime | None = None
    schedule_problem: RetentionError | None = None
    isolation: tuple[str, ...] | None = None
    probed: tuple[int, int] = (0, 0)
    encryption: EncryptionState | None = None
    health: HealthState | None = None
    bindings: tuple[BindingReport, ...] = ()
    last_deadlines: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    left_stores: tuple[LeftStore, ...] = ()
    backups: BackupReport | None = None
    late_cluster_backups: tuple[str, ...] = ()
    holds: tuple[Mapping[str, Any], ...] = ()
