"""Reads a plan document, JSON or YAML, and refuses by the field's name what cannot be meant (X1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tenant_retention.domain.definition import CategoryDefinition, CategoryState, RetentionDefinition
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument

_LARGEST_PLAN = 4_000_000
_YAML_SUFFIXES = (".yaml", ".yml")


def load_plan(path: Path) -> PlanDocument:
    """The plan in ``path``; without ``rulesDigest`` (written by hand) it is computed from the definition.

    Raises Invalid (InvalidPlan or InvalidDuration) naming the file and the field.
    """
    document = _parse(path)
    if not isinstance(document, dict):
        raise _invalid(path, None, "is no mapping; a plan has version, mode, definition, databases ...")
    try:
        if "rulesDigest" not in document:
            definition = RetentionDefinition.model_validate(document.get("definition"))
            document = document | {"rulesDigest": definition.rules_digest()}
        plan = PlanDocument.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = _dotted(first["loc"] if "rulesDigest" in document else ("definition", *first["loc"]))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise _invalid(path, field, first["msg"] + more) from None
    check_definition(plan.definition)
    if plan.backup is not None:
        Period.parse(plan.backup.keep, field="backup.keep")
    return plan


def check_definition(definition: RetentionDefinition) -> None:
    """Raises Invalid where durations are none, bounds cross, or a category names what is not there (X1, P4)."""
    for position, table in enumerate(definition.tables):
        Period.parse(table.back, field=f"definition.tables[{position}].back")
        Period.parse(table.ahead, field=f"definition.tables[{position}].ahead")
    if not 1 <= definition.guard_percent <= 100:
        raise _wrong("definition.guardPercent", "must be from 1 to 100")
    if definition.margin_seconds < 0:
        raise _wrong("definition.marginSeconds", "must not be negative")
    for position, category in enumerate(definition.categories):
        _check_category(definition, category, f"definition.categories[{position}]")
    # Each by itself first: what links two of them reads the periods of both.
    for position, category in enumerate(definition.categories):
        if category.content_of is not None:
            _check_content(definition, category, f"definition.categories[{position}]")


def _check_category(definition: RetentionDefinition, category: CategoryDefinition, field: str) -> None:
    bounds = {
        name: Period.parse(text, field=f"{field}.{name}")
        for name, text in (
            ("minimum", category.minimum),
            ("anonymizeAfter", category.anonymize_after),
            ("archiveAfter", category.archive_after),
            ("keep", category.keep),
            ("maximum", category.maximum),
        )
        if text is not None
    }
    for lower, upper in (
        ("minimum", "keep"),
        ("keep", "maximum"),
        ("minimum", "maximum"),
        ("minimum", "anonymizeAfter"),
        ("anonymizeAfter", "keep"),
        ("minimum", "archiveAfter"),
        ("archiveAfter", "keep"),
    ):
        if lower in bounds and upper in bounds and not bounds[lower].never_longer_than(bounds[upper]):
            raise _wrong(f"{field}.{upper}", f"category {category.name!r}: must not be shorter than {lower}")
    if category.extended is not None:
        keep = Period.parse(category.extended.keep, field=f"{field}.extended.keep")
        if not keep.never_longer_than(Period.parse(category.extended.maximum, field=f"{field}.extended.maximum")):
            raise _wrong(f"{field}.extended.maximum", f"category {category.name!r}: must not be shorter than keep")
    if category.archive_after is not None and not category.archivable:
        what = "only records that count from their birth and name no objects are archived"
        raise _wrong(f"{field}.archiveAfter", f"category {category.name!r}: {what}")
    known = {table.name for table in definition.tables}
    for table in category.tables:
        if table not in known:
            raise _wrong(f"{field}.tables", f"category {category.name!r}: there is no table {table!r}")
    if category.state is CategoryState.ENFORCED and not category.tables and category.files is None:
        raise _wrong(f"{field}.tables", f"category {category.name!r}: is enforced but has no table")
    if category.files is not None and not category.files.prefix:
        raise _wrong(f"{field}.files.prefix", f"category {category.name!r}: must not be empty")


def _check_content(definition: RetentionDefinition, category: CategoryDefinition, field: str) -> None:
    record = next((found for found in definition.categories if found.name == category.content_of), None)
    if record is None:
        raise _wrong(f"{field}.contentOf", f"category {category.name!r}: there is no category {category.content_of!r}")
    if record.database != category.database:
        # In two databases neither could wait for the other (P4).
        raise _wrong(
            f"{field}.database",
            f"category {category.name!r}: must be {record.database!r}, the database of its record {record.name!r}",
        )
    if category.minimum is not None and category.keep == category.minimum:
        # The record's rows wait for their content's min, however short the record's own keep is (X1).
        return
    if category.keep is None:
        return
    keep = Period.parse(category.keep)
    for name, bound in (("anonymizeAfter ", record.anonymize_after), ("", record.keep)):
        if bound is not None and not keep.never_longer_than(Period.parse(bound)):
            raise _wrong(
                f"{field}.keep",
                f"category {category.name!r}: must not be longer than {name}{bound} of its record {record.name!r}",
            )


def _parse(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_PLAN + 1)
    except OSError as error:
        raise _invalid(path, None, f"cannot be read ({error.strerror})") from error
    if len(content) > _LARGEST_PLAN:
        raise _invalid(path, None, f"is larger than {_LARGEST_PLAN} bytes")
    try:
        text = content.decode("utf-8")
        return _yaml(path, text) if path.suffix in _YAML_SUFFIXES else json.loads(text)
    except UnicodeDecodeError:
        raise _invalid(path, None, "is not UTF-8 text") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise _invalid(path, None, f"is no JSON: {error}") from None


def _yaml(path: Path, text: str) -> Any:
    # Imported here: the CronJob's plan is JSON, and its pod should not pay for a YAML parser.
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid(path, None, f"is no YAML: {' '.join(str(error).split())}") from None


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _wrong(field: str, text: str) -> Invalid:
    return Invalid(f"{field}: {text}", reason="InvalidPlan", field=field)


def _invalid(path: Path, field: str | None, text: str) -> Invalid:
    where = f"{path}: {field}" if field else str(path)
    return Invalid(f"{where}: {text}", reason="InvalidPlan", field=field or "plan")
