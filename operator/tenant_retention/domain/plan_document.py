"""The plan document: what a CronJob pod (ConfigMap ``plan.json``) or ``tenant-retention --plan plan.yaml`` is told to do.

It holds no secret: credentials are read from binding directories (servicebinding.io), one file per key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from tenant_retention.domain.definition import RetentionDefinition, Value
from tenant_retention.domain.names import Place


class Mode(StrEnum):
    """DryRun reports what Enforce would do, by the same decision (X7)."""

    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"


class StoreBinding(Value):
    """A store of the run: its purpose (Analytical, Content ...) and the directory with its binding files. ``region`` and
    ``unit``: of a database in a further region, and of one that a unit has to itself (D3)."""

    purpose: str
    binding: str
    region: str = ""
    unit: str = ""

    @property
    def place(self) -> Place:
        """Which store of the policy it is."""
        return Place(self.purpose, self.region, self.unit)


class PlanDocument(Value):
    """One policy's run. ``definition`` decides; the database refuses the run if its own rules digest differs.

    ``categories``: limits the run to these (empty: all); it is judged by these, and never counts as a night's run.
    ``awaited``: purposes of buckets and caches that are not there yet: what needs one fails alone (M10).
    ``batch_milliseconds``: aim of one keyset batch.
    """

    version: Literal[1] = 1
    mode: Mode = Mode.ENFORCE
    task: Literal["expire"] = "expire"
    definition: RetentionDefinition
    rules_digest: str
    databases: tuple[StoreBinding, ...]
    buckets: tuple[StoreBinding, ...] = ()
    caches: tuple[StoreBinding, ...] = ()
    awaited: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    batch_milliseconds: int = 150
