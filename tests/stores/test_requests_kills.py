"""A request that is killed before or after any effect: the next run does the rest, and nobody else loses anything (T7, X6)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.domain.plan_document import Task
from tenant_retention.domain.ports.requests import PlacedRequest, RequestAction, SoughtSubject
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.test_requests_contract import ALL, person, with_people
from tests.support.enforcement import RecordedWorld


class Killed(BaseException):
    """The process is gone: nothing of the engine answers this."""


@dataclass
class Deadly:
    """Dies before or after the effect of this number; ``seen``: effects so far."""

    number: int
    after: bool
    seen: int = 0

    def around(self, store: object) -> Any:
        """The store, with its calls counted."""
        return _Counted(store, self)

    def count(self, effect: Callable[[], Any]) -> Any:
        """One effect."""
        self.seen += 1
        dies = self.seen == self.number
        if dies and not self.after:
            raise Killed
        answer = effect()
        if dies:
            raise Killed
        return answer


class _Counted:
    def __init__(self, inner: object, deadly: Deadly) -> None:
        self._inner, self._deadly = inner, deadly

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            return self._deadly.count(lambda: getattr(self._inner, name)(*arguments, **named))

        return call


def carry_out(acme: LiveArchive, sought: SoughtSubject, deadly: Deadly) -> bool:
    """A run with stores that die; whether it came to its end."""
    plan = acme.plan().model_copy(update={"task": Task.REQUESTS})
    with open_stores(plan, acme.directory) as opened:
        stores = replace(
            opened,
            databases={name: deadly.around(store) for name, store in opened.databases.items()},
            buckets={name: deadly.around(store) for name, store in opened.buckets.items()},
        )
        try:
            expire(plan, stores, uuid4(), RecordedWorld(at=datetime.now(UTC)).world(), [sought])
        except Killed:
            return False
    return True


def place(acme: LiveArchive, name: str) -> SoughtSubject:
    """The operator tells the database that the caller of this call wants both: records without the person, and no content."""
    sought = SoughtSubject(uuid4(), person(name))
    actions = (RequestAction.ANONYMIZE, RequestAction.DELETE_CONTENT)
    request = PlacedRequest.about(sought, "req-1", actions, datetime.now(UTC), os.urandom(16))
    with acme.owner() as owner:
        owner.execute(
            "SELECT retention.place_request(%s, %s, %s, %s, %s, %s)",
            (
                request.request,
                request.name,
                list(actions),
                request.received_at,
                request.salt,
                list(request.identifiers),
            ),
        )
    return sought


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_effect_the_same_request_is_done_by_its_next_run__T7_X6(acme: LiveArchive, after: bool) -> None:
    acme.define(with_people(acme.definition.installation))
    acme.call("0", days_ago(2), *ALL)
    others = {f"{table}:0" for table in ALL}
    ended, number = False, 0
    while not ended:
        number += 1
        name = str(number)
        acme.call(name, days_ago(2), *ALL)
        sought = place(acme, name)
        deadly = Deadly(number, after)
        ended = carry_out(acme, sought, deadly)
        if not ended:
            content = {f"recordings:{name}", f"chat_logs:{name}"} & acme.left()
            with acme.owner() as owner:
                found = owner.execute(
                    "SELECT found_at IS NOT NULL FROM retention.request WHERE request_id = %s", (sought.request,)
                ).fetchone()
            # Nothing is done before all is found.
            assert found == (True,) or (len(content) == 2 and name in acme.callers()), number
            assert carry_out(acme, sought, Deadly(0, False)), number
        others |= {f"requests:{name}", f"surveys:{name}"}
        assert (acme.left(), acme.keys(), acme.callers()) == (others, {"audio/0"}, {"0"}), number
    assert number > 25, "too few effects for a run over four tables and a bucket"
