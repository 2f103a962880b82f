"""System transaction logs as files and rows (M5), and a bucket whose files were modified as long ago as a test says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tenant_retention.domain.definition import (
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    FilesDefinition,
    RetentionDefinition,
)
from tenant_retention.domain.ports.files import FilePage
from tests.support.enforcement import archive, table

LOGS = "system-logs"


def archive_with_logs(keep: str = "P1Y", guard_percent: int = 100, **more: Any) -> RetentionDefinition:
    """The archive, and logs: rows in ``logs`` and files below ``logs/``, from half a year to two."""
    found = archive(back="P15M", guard_percent=guard_percent)
    rule: dict[str, Any] = {"minimum": "P6M", "keep": keep, "maximum": "P2Y", **more}
    logs = CategoryDefinition(
        name=LOGS,
        state=CategoryState.ENFORCED,
        clock_event=ClockEvent.OBJECT_LAST_MODIFIED,
        clock_column="started_at",
        tables=("logs",),
        files=FilesDefinition(bucket="Content", prefix="logs/"),
        **rule,
    )
    return found.model_copy(
        update={"tables": (*found.tables, table("logs", back="P15M")), "categories": (*found.categories, logs)}
    )


class Backdated:
    """A bucket as a store tells it whose files are older: ``ages`` by key, or by key and version. S3 cannot backdate."""

    def __init__(self, inner: Any, ages: Mapping[object, timedelta], skew: timedelta = timedelta(0)) -> None:
        self._inner, self._ages, self._skew = inner, ages, skew
        self.deleted: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list_files(self, prefix: str, begins_at: Any, limit: int) -> FilePage:
        page: FilePage = self._inner.list_files(prefix, begins_at, limit)
        files = tuple(
            each.model_copy(update={"modified": each.modified - self._age(each.key, each.version)})
            for each in page.files
        )
        clock = page.store_clock + self._skew if page.store_clock else None
        return page.model_copy(update={"files": files, "store_clock": clock})

    def _age(self, key: str, version: str | None) -> timedelta:
        return self._ages.get((key, version), self._ages.get(key, timedelta(0)))


def seconds_after(instant: datetime, seconds: float) -> datetime:
    """That much later."""
    return instant + timedelta(seconds=seconds)
