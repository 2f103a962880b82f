"""The end of a run in the in-memory tenant database: what it came to, and its link of the chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from tenant_retention.adapters.fakes.tenant_archiving import TenantArchiving
from tenant_retention.adapters.fakes.tenant_files import TenantFiles
from tenant_retention.adapters.fakes.tenant_findings import TenantFindings
from tenant_retention.adapters.fakes.tenant_requests import TenantRequests
from tenant_retention.adapters.fakes.tenant_server import Run
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import GuardState
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence

_NO_DIGEST = "sha256:" + "0" * 64


class TenantEvidence(TenantFiles, TenantArchiving, TenantFindings, TenantRequests):
    """See ``EnforcementDatabase.finish_run``."""

    def _executed(self, run: Run) -> Iterator[CategoryDefinition]:
        """Categories whose rules this run carried out; an approved one only if it came to its end."""
        for category in self._looked_at(run):
            start = run.categories[category.name]
            files = run.files.get(category.name)
            if files is not None and files.run is None:
                continue
            acted = run.acted.get(category.name, 0) + (files.gone if files is not None else 0)
            wholly = not run.failed.get(category.name) and acted >= start.candidates
            if start.guard is GuardState.CLEAR or (start.guard is GuardState.APPROVED and wholly):
                yield category

    def _outcome(self, run: Run) -> str:
        if any(run.failed.values()) or any(told.failure for told in run.caches.values()):
            return "Failed"
        if run.mode is Mode.ENFORCE and (said := self._files_outcome(run)) is not None:
            return said
        passed_over = any(
            start.candidates + start.anonymize_due and name not in run.begun for name, start in run.categories.items()
        )
        if run.mode is Mode.ENFORCE and (passed_over or (run.categories and not run.begun)):
            return "Incomplete"
        if run.mode is Mode.ENFORCE and any(
            not self._server.waits_for_content(category, row) and not self._locked_out(category, row)
            for category in self._looked_at(run)
            for row in self._due_unheld(category)
        ):
            return "Incomplete"
        if run.mode is Mode.ENFORCE and any(
            not self._server.waits_for_content(category, row)
            for category in self._looked_at(run)
            for row in self._telling(category, run)
        ):
            return "Incomplete"
        if run.mode is Mode.ENFORCE and self._left_to_archive(run):
            return "Incomplete"
        tripped = run.findings_asked or any(each.guard is GuardState.TRIPPED for each in run.categories.values())
        return "ApprovalRequired" if tripped and run.mode is Mode.ENFORCE else "Succeeded"

    def _looked_at(self, run: Run) -> list[CategoryDefinition]:
        return [category for category in self._server.categories() if category.name in run.categories]

    def _append(self, outcome: str) -> None:
        server = self._server
        run = server.run
        if run is None:
            return
        previous = server.evidence[-1].digest if server.evidence else _NO_DIGEST
        found = [self._category_evidence(category, run) for category in self._looked_at(run)]
        categories = tuple(self._with_file_evidence(run, each) for each in found)
        link = RunEvidence(
            sequence=len(server.evidence) + 1,
            run_id=run.run_id,
            mode=run.mode,
            outcome=outcome,
            started_at=run.now,
            finished_at=None if outcome == "Interrupted" else server.now(),
            policy_generation=server.definition.policy_generation,
            rules_digest=run.rules_digest,
            categories=categories,
            limited_to=run.limited_to,
            caches=tuple(run.caches.values()),
            previous_digest=previous,
            digest="",
        )
        server.evidence.append(link.model_copy(update={"digest": _chained(link)}))

    def _category_evidence(self, category: CategoryDefinition, run: Run) -> CategoryEvidence:
        start = run.categories[category.name]
        left = self._due_unheld(category)
        clocks = [clock for row in self._server.rows_of(category) if (clock := self._server.clock(category, row))]
        return CategoryEvidence(
            category=category.name,
            candidates=start.candidates,
            acted=run.acted.get(category.name, 0),
            objects=run.objects.get(category.name, 0),
            held=start.held,
            skipped=sum(self._locked_out(category, row) for row in left),
            failed=run.failed.get(category.name, 0),
            locked=run.locked.get(category.name, 0),
            surplus=start.surplus,
            oldest_left=min(clocks, default=None),
            residue=len(left),
            **self._anonymize_evidence(category, run),
            **self._archive_evidence(category, run),
            **self._finding_counts(category, run),
            **self._request_counts(category, run),
        )


def _chained(link: RunEvidence) -> str:
    """The digest of a link over everything in it, the previous link's digest included."""
    content = link.model_dump(mode="json", by_alias=True, exclude={"digest"})
    return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
