"""Calls to servers: a dead one holds up its own tenants only (X2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.reconcile.world import QUIET_SECONDS, SLOW_SECONDS, StoreCalls

TIMEOUT = 10.0


class Server:
    """A server whose silence costs the fake clock ``TIMEOUT`` seconds a call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0
        self.dead = True
        self.problem: Exception | None = None

    def clock(self) -> float:
        return self.now

    def ask(self) -> str:
        self.calls += 1
        if self.problem is not None:
            raise self.problem
        if self.dead:
            self.now += TIMEOUT
            raise Unavailable("it does not answer", reason="ServerUnreachable")
        return "fine"


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def calls(server: Server) -> AsyncIterator[StoreCalls]:
    with ThreadPoolExecutor(1) as pool:
        yield StoreCalls(pool, 2, server.clock)


async def fifty(calls: StoreCalls, server: Server) -> list[object]:
    return list(await asyncio.gather(*(calls("dead", server.ask) for _ in range(50)), return_exceptions=True))


async def test_many_policies_of_a_dead_server_wait_for_a_few_timeouts_and_not_for_fifty(
    calls: StoreCalls, server: Server
) -> None:
    answers = await fifty(calls, server)
    # Two at once, and one that took the first one's turn before the second one had failed.
    assert server.calls <= 3
    assert {str(answer) for answer in answers} == {"it does not answer"}
    assert {type(answer) for answer in answers} == {Unavailable}


async def test_a_dead_server_is_tried_again_by_one_call_at_a_time_and_comes_back(
    calls: StoreCalls, server: Server
) -> None:
    await fifty(calls, server)
    before = server.calls
    server.now += QUIET_SECONDS
    await fifty(calls, server)
    assert server.calls == before + 1
    server.now += QUIET_SECONDS
    server.dead = False
    assert await calls("dead", server.ask) == "fine"
    assert await fifty(calls, server) == ["fine"] * 50


async def test_another_server_is_asked_meanwhile(calls: StoreCalls, server: Server) -> None:
    await fifty(calls, server)
    server.dead = False
    assert await calls("alive", server.ask) == "fine"


@pytest.mark.parametrize("problem", [Unavailable("refused", reason="ServerUnreachable"), Invalid("wrong password")])
async def test_what_fails_at_once_holds_nobody_up_and_is_asked_every_time(
    calls: StoreCalls, server: Server, problem: Exception
) -> None:
    server.problem = problem
    await fifty(calls, server)
    assert server.calls == 50
    assert SLOW_SECONDS < TIMEOUT


async def test_one_tenants_slow_database_does_not_silence_the_server_for_its_neighbours(
    calls: StoreCalls, server: Server
) -> None:
    for _ in range(5):
        server.dead = True
        with pytest.raises(Unavailable):
            await calls("shared", server.ask)
        server.dead = False
        assert await calls("shared", server.ask) == "fine"
