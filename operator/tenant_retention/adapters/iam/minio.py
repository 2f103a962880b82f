"""Identities at MinIO, which has no IAM dialect: one named policy a role, and every key is a MinIO user that has it.

So keys rotate with overlap here too: a new key is a new MinIO user ``<user>-<8 hex digits>`` with the same policy.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import admin_code, store_errors
from tenant_retention.domain.bucket_identities import (
    POLICY_NAME,
    AccessKey,
    ObservedIdentity,
    ObservedKey,
    canonical_policy,
)
from tenant_retention.domain.bucket_steps import (
    CreateUser,
    IdentityStep,
    IssueKey,
    LeaveGroup,
    PutPolicy,
    RemoveKey,
    RemovePolicy,
    RemoveUser,
)
from tenant_retention.domain.errors import Invalid

_NO_POLICY = "XMinioAdminNoSuchPolicy"
_NO_USER = "XMinioAdminNoSuchUser"
_SECRET_BYTES = 30
"""40 characters in URL-safe base64: the longest secret that MinIO takes."""


class MinioIdentities:
    """Policies and users by MinIO's admin API. Implements ``IdentityDriver``."""

    def __init__(self, connection: S3Connection) -> None:
        if connection.key is None:
            raise Invalid("MinIO's admin API needs a key", reason="SecretInvalid", field="spec.existing.adminSecretRef")
        self._admin = MinioAdmin(
            endpoint=urlsplit(connection.endpoint.url).netloc,
            credentials=StaticProvider(connection.key.key_id, connection.key.secret),
            region=connection.endpoint.region,
            http_client=connection.new_pool(),
        )

    def observe(self, users: Sequence[str]) -> tuple[ObservedIdentity, ...]:
        """Each role's policy and its keys. Raises Unavailable or Invalid."""
        listed = self._listed()
        return tuple(self._observe(user, _keys_of(user, listed)) for user in users)

    def _observe(self, user: str, keys: Mapping[str, Mapping[str, Any]]) -> ObservedIdentity:
        text = self._read(f"observe user {user}", lambda: self._admin.policy_info(user), missing=_NO_POLICY)
        if text is None and not keys:
            return ObservedIdentity(user)
        return ObservedIdentity(
            user=user,
            exists=True,
            policies=((POLICY_NAME, canonical_policy(_document(text))),) if text is not None else (),
            attached=tuple(sorted({name for key in keys.values() for name in _policies_of(key)} - {user})),
            groups=tuple(sorted({group for key in keys.values() for group in key.get("memberOf") or ()})),
            # A key that lost the policy is as good as none: it is removed, and another one issued.
            keys=tuple(
                ObservedKey(key_id, key.get("status") == "enabled" and user in _policies_of(key))
                for key_id, key in sorted(keys.items())
            ),
        )

    def apply(self, step: IdentityStep) -> AccessKey | None:
        """Carries one step out. Raises Unavailable or Invalid."""
        task = step.describe()
        match step:
            case CreateUser():
                return None  # A user is its policy here: PutPolicy makes it.
            case PutPolicy(user, policy):
                self._read(task, lambda: self._admin.policy_add(user, policy=json.loads(policy)))
            case RemovePolicy(user, name):
                having = [key_id for key_id, key in self._keys(user).items() if name in _policies_of(key)]
                for key_id in having:
                    self._read(task, lambda key_id=key_id: self._admin.detach_policy([name], user=key_id))  # type: ignore[misc]
            case LeaveGroup(user, group):
                members = [key_id for key_id, key in self._keys(user).items() if group in (key.get("memberOf") or ())]
                for key_id in members:
                    self._read(task, lambda key_id=key_id: self._admin.group_remove(group, key_id))  # type: ignore[misc]
            case RemoveKey(_, key_id):
                self._read(task, lambda: self._admin.user_remove(key_id), missing=_NO_USER)
            case IssueKey(_, user):
                return self._issue(user, task)
            case RemoveUser(user):
                for key_id in self._keys(user):
                    self.apply(RemoveKey(user, key_id))
                self._read(task, lambda: self._admin.policy_remove(user), missing=_NO_POLICY)
        return None

    def _issue(self, user: str, task: str) -> AccessKey:
        key = AccessKey(f"{user}-{secrets.token_hex(4)}", secrets.token_urlsafe(_SECRET_BYTES))
        self._read(task, lambda: self._admin.user_add(key.key_id, key.secret))
        self._read(task, lambda: self._admin.policy_set(user, user=key.key_id))
        return key

    def _keys(self, user: str) -> dict[str, dict[str, Any]]:
        return _keys_of(user, self._listed())

    def _listed(self) -> dict[str, dict[str, Any]]:
        """All users of the server: the answer is encrypted, and slow to open, so it is asked for once per observation."""
        listed: dict[str, dict[str, Any]] = json.loads(self._read("list users", self._admin.user_list) or "{}")
        return listed

    def _read(self, task: str, call: Callable[[], str], *, missing: str | None = None) -> str | None:
        with store_errors(task):
            try:
                return call()
            except MinioAdminException as error:
                if missing is not None and admin_code(error) == missing:
                    return None
                raise


def _keys_of(user: str, listed: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    ours = re.compile(re.escape(user) + r"-[0-9a-f]{8}")
    return {key_id: about for key_id, about in listed.items() if ours.fullmatch(key_id)}


def _policies_of(key: Mapping[str, Any]) -> list[str]:
    return [name for name in str(key.get("policyName") or "").split(",") if name]


def _document(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    inner = parsed.get("Policy", parsed)
    return inner if isinstance(inner, dict) else parsed
