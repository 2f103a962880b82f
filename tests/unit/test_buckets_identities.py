"""Policies: each role's rights, and when two documents mean the same."""

from __future__ import annotations

import json

import pytest

from tenant_retention.domain.bucket_identities import BucketRole, canonical_policy, policy_document
from tenant_retention.domain.errors import Invalid

REFUSED_BY_SEAWEEDFS = {
    "s3:ListMultipartUploadParts",
    "s3:ListBucketMultipartUploads",
    "s3:PutLifecycleConfiguration",
    "s3:GetEncryptionConfiguration",
}


def actions(role: BucketRole) -> set[str]:
    statements = json.loads(policy_document("bucket", role))["Statement"]
    return {action for statement in statements for action in statement["Action"]}


def test_no_role_may_bypass_a_retention_lock_or_change_the_bucket__M8() -> None:
    for role in BucketRole:
        assert not [action for action in actions(role) if "Bypass" in action or action in {"s3:*", "*"}]
        assert not [action for action in actions(role) if action.startswith("s3:PutBucket")]


def test_only_the_enforcer_may_delete_and_only_the_app_may_write__M8() -> None:
    deleting = {role for role in BucketRole if any("Delete" in action for action in actions(role))}
    writing = {role for role in BucketRole if "s3:PutObject" in actions(role)}
    assert (deleting, writing) == ({BucketRole.ENFORCER}, {BucketRole.APP})


def test_every_policy_is_for_its_bucket_alone__X2() -> None:
    for role in BucketRole:
        for statement in json.loads(policy_document("acme-1", role))["Statement"]:
            assert set(statement["Resource"]) <= {"arn:aws:s3:::acme-1", "arn:aws:s3:::acme-1/*"}


def test_policies_use_only_actions_that_seaweedfs_takes_too() -> None:
    for role in BucketRole:
        assert not actions(role) & REFUSED_BY_SEAWEEDFS


def test_a_policy_means_the_same_in_any_order_with_ids_or_with_single_values_unwrapped() -> None:
    ours = policy_document("acme-1", BucketRole.APP)
    document = json.loads(ours)
    document["Statement"].reverse()
    for number, statement in enumerate(document["Statement"]):
        statement["Sid"] = f"s{number}"
        statement["Action"].reverse()
        statement["Resource"] = statement["Resource"][0]
    assert canonical_policy(json.dumps(document)) == ours


def test_one_more_action_resource_or_condition_is_another_policy() -> None:
    ours = policy_document("acme-1", BucketRole.APP)
    for change in ({"Action": ["s3:*"]}, {"Resource": ["*"]}, {"Condition": {"Bool": {"a": "b"}}}, {"Effect": "Deny"}):
        document = json.loads(ours)
        document["Statement"][0].update(change)
        assert canonical_policy(document) != ours


def test_what_is_no_policy_document_is_said_to_be_none() -> None:
    for text in ("not json", "[]"):
        with pytest.raises(Invalid) as refused:
            canonical_policy(text)
        assert refused.value.reason == "SettingNotKept"
