"""By when a DataSubjectRequest must be done: gone in every copy, gone in the databases, and when to warn (T7, X3, X9); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tenant_retention.api.v1alpha1.retentionprofile import Ground, RetentionProfileSpec
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.copies import NO_COPIES
from tenant_retention.domain.durations import Period, end_of_period


@dataclass(frozen=True)
class RequestTerms:
    """What one policy's profile and classes say of requests. ``life``: how long backups may have what left the databases.
    ``grounds``: by category whose minimum binds requests (M9); ``records``: by category of content, the one of its records."""

    period: Period
    life: timedelta = NO_COPIES
    grounds: Mapping[str, Ground] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: RetentionProfileSpec, life: timedelta) -> RequestTerms:
        """Those of a policy. ``life``: ``life_of_backups`` of the class that keeps its backups longest."""
        grounds = {
            category.name: category.ground
            for category in profile.categories
            if category.min is not None and category.early_deletion == "Refused" and category.ground is not None
        }
        records = {each.name: each.content_of for each in profile.categories if each.content_of is not None}
        return cls(Period.parse(profile.deadlines.request, field="deadlines.request"), life, grounds, records)

    def waits_for_minimum(self, category: str) -> bool:
        """Whether rows of it become due one by one: by their own minimum, or as records by that of their content."""
        return category in self.grounds or any(self.records.get(content) == category for content in self.grounds)


@dataclass(frozen=True)
class RequestDeadlines:
    """``copies``: gone in every copy. ``live``: gone in the databases, so that the last backup goes in time.
    ``warn_at``: two thirds of the way to ``live``."""

    copies: datetime
    live: datetime
    warn_at: datetime

    @classmethod
    def of(cls, received: datetime, terms: Iterable[RequestTerms]) -> RequestDeadlines | None:
        """The earliest of all policies; None where none is known."""
        known = [(end_of_period(received, each.period), each.life) for each in terms]
        if not known:
            return None
        live = max(received, min(end - life for end, life in known))
        return cls(min(end for end, _ in known), live, received + (live - received) * 2 / 3)

    @classmethod
    def read(cls, status: Mapping[str, Any]) -> RequestDeadlines | None:
        """Those that ``written`` wrote."""
        words = ("deadline", "liveDeadline", "warnAt")
        return cls(*(moment(status[word]) for word in words)) if all(status.get(word) for word in words) else None

    def written(self) -> dict[str, str]:
        """As the status has them."""
        return {
            "deadline": instant(self.copies),
            "liveDeadline": instant(self.live),
            "warnAt": instant(self.warn_at),
        }
