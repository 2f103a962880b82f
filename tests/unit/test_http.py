"""What the kubelet and Prometheus are answered, asked as they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from tenant_retention.adapters.fakes.cluster import FakeCluster
from tenant_retention.domain.ports.cluster import POLICY
from tenant_retention.handlers.http import serve
from tenant_retention.handlers.queue import WorkQueue
from tenant_retention.handlers.resync import Resync
from tenant_retention.handlers.seen import Seen
from tenant_retention.telemetry import Health, Telemetry
from tests.support.operator_world import policy
from tests.support.ports import free_port


@dataclass
class Process:
    """An operator's edge without its reconcile; its clock stands still unless a test moves it."""

    port: int
    now: float = 0.0
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        """The parts that the probes look at."""
        self.health = Health(lambda: self.now)
        self.queue = WorkQueue(lambda: self.now)
        self.cluster = FakeCluster((policy(),))
        self.resync = Resync(
            self.cluster, self.queue, self.seen, self.health, interval=60, namespaces=(), spread=lambda: 0.0
        )

    async def answer(self, path: str) -> tuple[int, str]:
        """Status and text of one request."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as reply:
            return reply.status, await reply.text()


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    port = free_port()
    made = Process(port)
    async with serve(port, made.queue, made.health, Telemetry()):
        yield made


async def test_the_process_is_ready_when_it_has_looked_at_everything_once(process: Process) -> None:
    assert await process.answer("/readyz") == (503, "starting")
    assert await process.answer("/healthz") == (200, "ok")
    process.health.ready = True
    assert await process.answer("/readyz") == (200, "ok")


async def test_a_dead_watch_makes_the_kubelet_start_the_process_anew(process: Process) -> None:
    await process.resync.turn(at_once=True)
    await process.resync.turn(at_once=False)
    assert await process.answer("/healthz") == (200, "ok")
    await process.resync.turn(at_once=False)
    status, text = await process.answer("/healthz")
    assert status == 503
    assert "watch: policies that a list shows do not arrive" in text
    (shown,) = await process.cluster.list(POLICY)
    process.seen.policy(shown["metadata"]["namespace"], shown["metadata"]["name"], shown, gone=False)
    await process.resync.turn(at_once=False)
    assert await process.answer("/healthz") == (200, "ok")


async def test_a_loop_that_no_longer_turns_makes_the_kubelet_start_the_process_anew(process: Process) -> None:
    process.health.beat("resync", 300)
    process.now = 301
    assert await process.answer("/healthz") == (503, "resync: no sign of life")


async def test_the_metrics_are_in_prometheus_format(process: Process) -> None:
    status, text = await process.answer("/metrics")
    assert status == 200
    assert text.startswith("# HELP ")
