"""``tenant-retention unpack``: a policy's ConfigMaps and Secrets, as kubectl prints them, become a plan and binding directories."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.bucket_identities import BucketRole
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.backup_key import backup_key_name
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.jobs import PLAN_KEY, plan_name
from tenant_retention.domain.manifests.metadata import binding_name
from tenant_retention.domain.plan_document import BackupPlan, PlanDocument, StoreBinding, Task

ADMINISTRATOR, BINDINGS = "administrator", "bindings"
_BINDING_TYPE = "servicebinding.io/"
_FILE_NAME = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
"""What a Secret's key or name may be; nothing in it leaves a directory."""
_LOGIN = ("username", "password")

Object = dict[str, Any]


def unpack(text: str, directory: Path, database: str | None) -> Iterator[str]:
    """Writes ``plan.json``, a directory for each binding, and ``administrator`` where the text has such a Secret; yields what it
    wrote.

    ``text``: JSON documents one after the other, objects or lists of them, of one policy. ``database``: of the plan, whose
    server the administrator is of; None: the first. Raises Invalid (InvalidPlan) where something is missing or there twice.
    """
    objects = list(_objects(text))
    policy, plan = _whole_plan(objects)
    mine = [each for each in objects if each["metadata"].get("namespace") == policy.namespace]
    keys = (Path(plan.backup.key).name,) if plan.backup is not None else ()
    secrets = {
        str(each["metadata"]["name"]): _values(each)
        for each in mine
        if str(each.get("type", "")).startswith(_BINDING_TYPE) or each["metadata"].get("name") in keys
    }
    _check_names(secrets)
    login = _administrator([each for each in objects if each not in mine])
    written = {f"{BINDINGS}/{name}": values for name, values in sorted(secrets.items())}
    if login is not None:
        written[ADMINISTRATOR] = secrets[_of_server(plan, database, secrets)] | login
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / PLAN_KEY).write_text(plan.model_dump_json(by_alias=True), encoding="utf-8")
    yield PLAN_KEY
    for name, values in written.items():
        _write(directory / name, values)
        yield name


def _objects(text: str) -> Iterator[Object]:
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        try:
            document, end = decoder.raw_decode(rest)
        except ValueError:
            raise _wrong("stdin is no JSON; give what kubectl get ... -o json prints") from None
        rest = rest[end:].lstrip()
        for each in document.get("items", [document]) if isinstance(document, dict) else ():
            if isinstance(each, dict) and isinstance(each.get("metadata"), dict):
                yield each


def _whole_plan(objects: Sequence[Object]) -> tuple[PolicyRef, PlanDocument]:
    """The plan of the policy's nights, with what that of its backups says of them; each by the name that only the operator
    gives."""
    plans = {_name(each): plan for each in objects if (plan := _plan(each)) is not None}
    found = []
    for name, plan in plans.items():
        rules = plan.definition
        policy = PolicyRef(rules.namespace, rules.policy, rules.policy_uid)
        if name == (policy.namespace, plan_name(policy)):
            found.append((policy, plan))
    if len(found) != 1:
        raise _wrong(
            f"there are {len(found)} plans of nights, not one; give the ConfigMaps and Secrets of one policy: "
            "kubectl -n NAMESPACE get configmap,secret -l tenantretention.io/policy=NAME -o json"
        )
    policy, plan = found[0]
    backups = plans.get((policy.namespace, plan_name(policy, task=Task.BACKUP)))
    stores = {kind: tuple(_nearby(each) for each in getattr(plan, kind)) for kind in ("databases", "buckets", "caches")}
    return policy, plan.model_copy(
        update={**stores, "backup": _backup_nearby(policy, backups.backup if backups else None)}
    )


def _name(found: Object) -> tuple[str, str]:
    return str(found["metadata"].get("namespace")), str(found["metadata"].get("name"))


def _plan(found: Object) -> PlanDocument | None:
    text = (found.get("data") or {}).get(PLAN_KEY) if found.get("kind") == "ConfigMap" else None
    try:
        return PlanDocument.model_validate_json(text) if text is not None else None
    except ValidationError:
        raise _wrong(f"ConfigMap {_name(found)[1]} is of another version; use the operator's own image") from None


def _administrator(strangers: Sequence[Object]) -> dict[str, bytes] | None:
    """The server's administrator: the one login that is not from the tenant's namespace, where anybody could put one."""
    logins = {}
    for each in strangers:
        values = _values(each) if each.get("kind") == "Secret" else {}
        if all(key in values for key in _LOGIN):
            logins[_name(each)[1]] = {key: values[key] for key in _LOGIN}
    if len(logins) > 1:
        raise _wrong(f"several administrators: {', '.join(sorted(logins))}; give the Secret of one of them only")
    return next(iter(logins.values()), None)


def _of_server(plan: PlanDocument, database: str | None, secrets: Mapping[str, object]) -> str:
    """The binding that names the server of the database."""
    for store in plan.databases:
        name = Path(store.binding).name
        if database in (None, store.place.name) and name in secrets:
            return name
    raise _wrong(f"there is no binding of database {database or 'any'} of the plan")


def _nearby(store: StoreBinding) -> StoreBinding:
    writer = _relative(store.writer) if store.writer else ""
    return store.model_copy(update={"binding": _relative(store.binding), "writer": writer})


def _backup_nearby(policy: PolicyRef, backup: BackupPlan | None) -> BackupPlan | None:
    """While no backup is to be made, as after a loss, the job's plan names neither writer nor key; to restore wants both."""
    if backup is None:
        return None
    names = {
        "bucket": binding_name(policy, BACKUPS, BucketRole.ENFORCER),
        "writer": binding_name(policy, BACKUPS, BucketRole.APP),
        "key": backup_key_name(policy),
    }
    return backup.model_copy(update={key: _relative(name) for key, name in names.items()})


def _relative(binding: str) -> str:
    return f"{BINDINGS}/{Path(binding).name}"


def _values(found: Object) -> dict[str, bytes]:
    return {key: b64decode(value) for key, value in (found.get("data") or {}).items()}


def _check_names(secrets: Mapping[str, Mapping[str, bytes]]) -> None:
    for name in (name for secret, values in secrets.items() for name in (secret, *values)):
        if not _FILE_NAME.fullmatch(name):
            raise _wrong(f"{name!r} is no name of a Secret or of a key in one")


def _write(directory: Path, values: Mapping[str, bytes]) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, value in values.items():
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(value)


def _wrong(text: str) -> Invalid:
    return Invalid(f"unpack: {text}", reason="InvalidPlan")
