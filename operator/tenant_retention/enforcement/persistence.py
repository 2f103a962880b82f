"""How often one transaction is tried again: locks pass, servers come back, replies get lost. Stops when asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.enforcement.world import World

P = ParamSpec("P")
T = TypeVar("T")
_BRIEF_PAUSES = (0.5, 1.0)
_PATIENT_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
"""Seconds; about 25 in all: a server's restart. Locks are waited for here, outside any transaction of ours."""

_FUTILE = frozenset({"StatementTimeout"})
"""Reasons of Unavailable that another try would only meet again, after as long a wait."""


class Interrupted(Exception):
    """The run was asked to stop and did so between two transactions."""


class Persistence:
    """Repeats transactions that failed with Unavailable; every one of them may be repeated (EnforcementDatabase)."""

    def __init__(self, world: World) -> None:
        self._world = world

    def go_on(self) -> None:
        """Raises Interrupted if the run was asked to stop."""
        if self._world.stopping():
            raise Interrupted

    def briefly(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For the first call of a run: a server that is away is said so within seconds. Raises what ``call`` raises.

        NotReady too: the session of a run that was killed a moment ago may still be ending.
        """
        return self._repeated(partial(call, *args, **kwargs), _BRIEF_PAUSES, Unavailable, NotReady)

    def patiently(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For work under way: outlasts a lock or a server's restart. Raises what ``call`` raises, or Interrupted."""
        return self._repeated(partial(call, *args, **kwargs), _PATIENT_PAUSES, Unavailable)

    def _repeated(self, call: Callable[[], T], pauses: Sequence[float], *passing: type[RetentionError]) -> T:
        for pause in pauses:
            try:
                return call()
            except passing as error:
                if error.reason in _FUTILE:
                    raise
                self._world.journal.tell("waiting", reason=error.reason, seconds=pause)
            self._world.pause(pause)
            self.go_on()
        return call()
