"""Measures an endpoint at one bucket: latency and clock; S3 tells nobody how full it is (D6, D7)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import from_code
from tenant_retention.adapters.s3.uploads import error_code
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.readiness import StoreReadings

_ROUND_TRIPS = 3
_SECOND = timedelta(seconds=1)


def measure_bucket(administrator: S3Connection, bucket: str, now: Callable[[], datetime]) -> StoreReadings:
    """One look: three signed requests. The clock is the answer's Date, to the second. Raises Unavailable or Invalid."""
    trips, skews = [], []
    for _ in range(_ROUND_TRIPS):
        before, began = now(), time.perf_counter()
        answer = administrator.request("GET", bucket, query="versioning=", task=f"measure bucket {bucket}")
        trips.append(time.perf_counter() - began)
        if answer.status != 200:
            raise from_code(error_code(answer), answer.status, f"measure bucket {bucket}")
        skews.append(_apart(before, answer.date, now()))
    return StoreReadings(timedelta(seconds=statistics.median(trips)), min(skews))


def _apart(before: datetime, date: str | None, after: datetime) -> timedelta:
    """How far the clocks are apart at least. A Date is cut to the second."""
    if date is None:
        raise Unavailable("the store's answer has no Date: something in between removes it", reason="Unavailable")
    there = parsedate_to_datetime(date)
    return max(before - there - _SECOND, there - after, timedelta())
