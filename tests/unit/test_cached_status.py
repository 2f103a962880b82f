"""What a policy's status says of the keys that its categories have in the cache."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cached_rows import CacheEvidence
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.run_status import RunReport, with_last_runs
from tests.support.enforcement import NOW

AGENTS = {"name": "agent-information"}


def run(*caches: CacheEvidence, days: int = 0) -> RunEvidence:
    return RunEvidence(
        sequence=1,
        run_id=UUID(int=1),
        mode=Mode.ENFORCE,
        outcome="Succeeded",
        started_at=NOW + timedelta(days=days),
        finished_at=NOW + timedelta(days=days, minutes=1),
        policy_generation=1,
        rules_digest="sha256:0",
        categories=(),
        caches=caches,
        previous_digest="",
        digest="",
    )


def told(*runs: RunEvidence, before: list[dict[str, object]] | None = None) -> object:
    report = RunReport(latest={str(number): each for number, each in enumerate(runs)})
    (row,) = with_last_runs([AGENTS], report, before or [])
    return row.get("cachedKeys")


def looked(keys: int, removed: int = 0, residue: int | None = 0) -> CacheEvidence:
    return CacheEvidence(category="agent-information", keys=keys, removed=removed, residue=residue)


def test_a_category_says_how_many_keys_the_last_run_left_in_the_cache__T6() -> None:
    assert told(run(looked(10, 3))) == 7
    assert told(run(looked(10, 3)), run(looked(4), days=1)) == 4


def test_a_category_that_is_not_cached_or_not_looked_for_yet_says_nothing() -> None:
    assert told() is None
    assert told(run(CacheEvidence(category="", keys=5, residue=0))) is None


def test_a_look_that_did_not_come_to_its_end_leaves_what_was_known() -> None:
    known: list[dict[str, object]] = [{**AGENTS, "cachedKeys": 7}]
    assert told(run(looked(2, residue=None), days=1), before=known) == 7
    assert told(before=known) == 7
