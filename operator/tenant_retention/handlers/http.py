"""``/metrics``, ``/healthz`` and ``/readyz`` on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tenant_retention.handlers.queue import STUCK_SECONDS, WorkQueue
from tenant_retention.telemetry import Health, Telemetry


@asynccontextmanager
async def serve(port: int, queue: WorkQueue, health: Health, telemetry: Telemetry) -> AsyncIterator[None]:
    """Answers on all addresses until left."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.render(queue.depth()), headers={"Content-Type": telemetry.content_type})

    async def healthz(_: web.Request) -> web.Response:
        stuck = queue.stuck_seconds()
        health.complain("queue", f"a reconcile runs for {stuck:.0f} s" if stuck > STUCK_SECONDS else None)
        problems = health.problems()
        return web.Response(status=503 if problems else 200, text="\n".join(problems) or "ok")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=200 if health.ready else 503, text="ok" if health.ready else "starting")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
