"""Waiting for what was begun: it goes on whatever becomes of the one who waits, and every error says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from tenant_retention.cli.plugin.reaching import Session
from tenant_retention.domain.errors import Forbidden, NotReady, Unavailable
from tenant_retention.domain.ports.cluster import Manifest

_PATIENCE = 10
"""So many looks in a row may fail: a server that starts anew must not end an hour's waiting."""


@dataclass(frozen=True)
class Waiting:
    """``what``: its kind and name. ``follow``: the command that shows it later. ``pause``: seconds between two looks."""

    what: str
    follow: str
    seconds: float
    pause: float


async def wait_for(
    session: Session,
    waiting: Waiting,
    look: Callable[[], Awaitable[Manifest | None]],
    ended: Callable[[Manifest], bool],
    state: Callable[[Manifest], str],
    tell: Callable[[str], None],
) -> Manifest:
    """The object once it has ``ended``; ``tell`` hears its ``state`` at every look. Raises NotReady when the time is over or
    the object is gone, Unavailable when the server stays away."""
    until = session.now() + timedelta(seconds=waiting.seconds)
    told, failed = "not seen yet", 0
    while True:
        try:
            found = await look()
        except Unavailable as problem:
            told, failed = problem.message, failed + 1
            if failed > _PATIENCE or isinstance(problem, Forbidden):
                raise type(problem)(f"{told}; {_goes_on(waiting)}", reason="Unavailable") from problem
        else:
            if found is None:
                raise NotReady(f"{waiting.what} is gone: somebody deleted it", reason="Unavailable")
            told, failed = state(found), 0
            if ended(found):
                tell(f"{waiting.what}: {told}")
                return found
        tell(f"{waiting.what}: {told}")
        if session.now() >= until:
            raise NotReady(
                f"{waiting.what} after {waiting.seconds:g} seconds: {told}; {_goes_on(waiting)}", reason="Unavailable"
            )
        await session.pause(waiting.pause)


def _goes_on(waiting: Waiting) -> str:
    return f"it goes on; follow it with {waiting.follow}"
