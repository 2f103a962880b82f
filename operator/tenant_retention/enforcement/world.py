"""What a run needs besides its stores, injected: clocks, pauses, the wish to stop, and somewhere to tell what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tenant_retention.domain.ports.archive_files import FileArchive
from tenant_retention.domain.ports.caches import EnforcementCache
from tenant_retention.domain.ports.enforcement import ContentBucket, EnforcementDatabase


class Journal(Protocol):
    """Where a run tells what it does; facts are counts and words of the closed lists, never data or object keys (X6)."""

    def tell(self, event: str, **facts: str | int | float | None) -> None:
        """Tells one event."""


@dataclass(frozen=True)
class World:
    """``now``: UTC wall clock. ``elapsed``: seconds of a clock that never goes back. ``pause``: waits that many seconds.

    ``stopping``: True once the run was asked to stop; looked at between batches.
    """

    now: Callable[[], datetime]
    elapsed: Callable[[], float]
    pause: Callable[[float], None]
    stopping: Callable[[], bool]
    journal: Journal


@dataclass(frozen=True)
class Stores:
    """A run's databases, buckets and caches by purpose (``Analytical``, ``Content``, ``Cache``). ``archive``: None where the policy
    has no archive bucket."""

    databases: Mapping[str, EnforcementDatabase]
    buckets: Mapping[str, ContentBucket]
    caches: Mapping[str, EnforcementCache] = field(default_factory=dict)
    archive: FileArchive | None = None
