"""A cache's figures and its encryption are looked at, judged and told as every store's (D6, D7, T8, T6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tenant_retention.adapters.fakes.tenant_caches import HEALTHY_CACHE
from tenant_retention.domain.cache_readiness import cache_figures
from tenant_retention.domain.ports.cluster import STORE_CLASS
from tenant_retention.domain.readiness import Limits, Measure
from tests.support.operator_world import Operator, condition
from tests.unit.test_reconcile_caches import HOST, with_cache

LIMITS = Limits(
    latency=timedelta(seconds=1),
    clock_skew=timedelta(seconds=30),
    free_sessions=10,
    replication_lag=timedelta(seconds=300),
)
TWO_DAYS = timedelta(days=2)
MICROSECOND = timedelta(microseconds=1)
MIB = 2**20


@pytest.mark.parametrize(
    ("measure", "good", "bad"),
    [
        (Measure.LATENCY, {"latency": timedelta(seconds=1)}, {"latency": timedelta(seconds=1.1)}),
        (Measure.CLOCK_SKEW, {"clock_skew": timedelta(seconds=30)}, {"clock_skew": timedelta(seconds=31)}),
        (Measure.SESSIONS, {"clients": 90, "maxclients": 100}, {"clients": 91, "maxclients": 100}),
        (Measure.SIZE, {"memory": 85 * MIB, "maxmemory": 100 * MIB}, {"memory": 86 * MIB, "maxmemory": 100 * MIB}),
        (Measure.EVICTED_KEYS, {"evicted": 0}, {"evicted": 1}),
        (Measure.READ_ONLY, {"replica": False}, {"replica": True}),
        (
            Measure.REPLICATION_LAG,
            {"replicas": 1, "replication_lag": timedelta(seconds=300)},
            {"replicas": 1, "replication_lag": timedelta(seconds=301)},
        ),
        (
            Measure.COPY_ON_DISK,
            {"persists": True, "copy_on_disk": TWO_DAYS},
            {"persists": True, "copy_on_disk": TWO_DAYS + MICROSECOND},
        ),
    ],
)
def test_every_figure_of_a_cache_has_its_limit_and_the_next_step__D6_D7_T6(
    measure: Measure, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    for values, exceeded in ((good, False), (bad, True)):
        found = {each.measure: each for each in cache_figures(replace(HEALTHY_CACHE, **values), LIMITS)}
        assert found[measure].exceeded is exceeded
        assert found[measure].step


def test_what_cannot_be_seen_of_a_cache_is_unknown_and_says_what_to_do__D7_T6() -> None:
    hidden = replace(HEALTHY_CACHE, maxmemory=None, persists=True, copy_on_disk=None)
    found = {each.measure: each for each in cache_figures(hidden, LIMITS)}
    assert found[Measure.SIZE].limit is None
    assert "maxmemory is not set" in found[Measure.SIZE].note
    assert found[Measure.COPY_ON_DISK].value is None
    assert "BGREWRITEAOF" in found[Measure.COPY_ON_DISK].note
    assert Measure.COPY_ON_DISK not in {each.measure for each in cache_figures(HEALTHY_CACHE, LIMITS)}


def measurements(operator: Operator) -> dict[str, dict[str, Any]]:
    entry = next(each for each in operator.objects("DataStore") if each["spec"]["purpose"] == "Cache")
    return {row["name"]: row for row in entry["status"].get("measurements", ())}


async def test_a_cache_that_loses_keys_is_told_with_value_limit_and_step__D6_D7() -> None:
    operator = await with_cache()
    await operator.settled()
    assert measurements(operator)["EvictedKeys"]["state"] == "Met"
    operator.stores.cache_readings = replace(HEALTHY_CACHE, evicted=7)
    for _ in range(5):
        operator.clock.forward(timedelta(minutes=6))
        await operator.settled()
    told = condition(await operator.policy(), "StoresHealthy")
    assert (told["status"], told["reason"]) == ("False", "LimitExceeded")
    assert "Cache: EvictedKeys 7, limit 0; what was nowhere else is lost" in told["message"]
    assert measurements(operator)["EvictedKeys"]["state"] == "Exceeded"


async def with_declared(**spec: Any) -> Operator:
    """A policy all of whose classes say that their servers encrypt what they store; ``spec`` of the cache's."""
    operator = await with_cache()
    for found in operator.objects(STORE_CLASS.name):
        found["spec"]["encryptionAtRest"] = "Declared"
        if found["metadata"]["name"] == "acme-cache":
            found["spec"].pop("encryptionAtRest")
            found["spec"] |= spec
    return operator


async def test_a_cache_that_writes_files_must_have_its_encryption_declared__T8() -> None:
    operator = await with_declared()
    assert condition(await operator.settled(), "EncryptionVerified")["status"] == "True", "it keeps nothing on disk"
    operator = await with_declared()
    operator.stores.cache_readings = replace(HEALTHY_CACHE, persists=True)
    told = condition(await operator.settled(), "EncryptionVerified")
    assert (told["status"], told["reason"]) == ("Unknown", "AtRestUnknown")
    assert "the server of Cache encrypts" in told["message"]
    operator = await with_declared(encryptionAtRest="Declared")
    operator.stores.cache_readings = replace(HEALTHY_CACHE, persists=True)
    assert condition(await operator.settled(), "EncryptionVerified")["status"] == "True"


async def test_a_cache_in_the_clear_or_without_an_answer_is_never_called_encrypted__T8() -> None:
    operator = await with_declared()
    operator.stores.in_the_clear["Cache"] = ("cache.example.com:6380 answers without TLS",)
    told = condition(await operator.settled(), "EncryptionVerified")
    assert (told["status"], told["reason"]) == ("False", "EncryptionMissing")
    assert "6380 answers without TLS" in told["message"]
    operator = await with_declared()
    operator.stores.away.add(HOST)
    assert condition(await operator.settled(), "EncryptionVerified")["reason"] == "NotYetVerified"
