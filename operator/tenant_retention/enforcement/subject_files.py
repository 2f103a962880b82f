"""Whom a run's requests are about: directories of a Secret, or of a shell's user, one file a key (T7)."""

from __future__ import annotations

from pathlib import Path

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.requests import SoughtSubject
from tenant_retention.domain.subjects import ROLES, Subject, constants_of, parse_subject


def sought_by(plan: PlanDocument, base: Path) -> tuple[SoughtSubject, ...]:
    """The people of the plan's requests; relative directories are below ``base``. Raises Invalid as ``read_subject`` does."""
    return tuple(
        SoughtSubject(each.request, read_subject(base / each.subject, plan, each.region)) for each in plan.subjects
    )


def read_subject(directory: Path, plan: PlanDocument, region: str | None) -> Subject:
    """The person that a directory names: files phones, emails, chatIds, staffIds, one identifier a line, as in the Secret of a
    DataSubjectRequest. Raises Invalid, never with what is written there."""
    if not directory.is_dir():
        raise Invalid(f"{directory} is no directory with one of {', '.join(ROLES)}", reason="Usage", field="subject")
    # Kubernetes mounts a Secret with links that begin with two dots.
    data = {
        file.name: file.read_bytes() for file in sorted(directory.iterdir()) if file.is_file() and file.name[0] != "."
    }
    return parse_subject(data, region, constants_of(plan.definition))
