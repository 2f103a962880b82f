"""What the dialects of IAM answer differently: AWS's encoding and pages, Ceph's missing actions, a key whose limit is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tenant_retention.adapters.iam.aws import AwsIdentities
from tenant_retention.adapters.s3.connection import Answer
from tenant_retention.domain.bucket_identities import BucketRole, ObservedKey, policy_document
from tenant_retention.domain.bucket_steps import CreateUser, IssueKey, RemoveKey, RemoveUser
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable

NAMESPACE = 'xmlns="https://iam.amazonaws.com/doc/2010-05-08/"'


class Replies:
    """Answers IAM requests from a table, and notes what was asked."""

    endpoint = S3Endpoint("https://s3.eu-central-1.amazonaws.com", "eu-central-1")

    def __init__(self, replies: dict[str, Callable[[dict[str, str]], Answer]]) -> None:
        self._replies = replies
        self.asked: list[dict[str, str]] = []
        self.urls: set[str] = set()

    def signed(self, service: str, region: str, method: str, url: str, *, task: str, **request: Any) -> Answer:
        assert (service, region, method) == ("iam", "us-east-1", "POST")
        self.asked.append(request["data"])
        self.urls.add(url)
        reply = self._replies.get(request["data"]["Action"])
        return reply(request["data"]) if reply else empty()

    def actions(self) -> list[str]:
        return [form["Action"] for form in self.asked]


def ok(body: str) -> Answer:
    return Answer(200, f"<Response {NAMESPACE}><Result>{body}</Result></Response>")


def empty() -> Answer:
    return ok("<IsTruncated>false</IsTruncated>")


def error(status: int, code: str) -> Answer:
    return Answer(status, f"<ErrorResponse {NAMESPACE}><Error><Code>{code}</Code></Error></ErrorResponse>")


def driver(replies: Replies) -> AwsIdentities:
    return AwsIdentities(replies)  # type: ignore[arg-type]


def test_awss_url_encoded_policy_is_the_same_policy_and_is_asked_at_awss_own_address() -> None:
    document = policy_document("acme", BucketRole.APP)
    replies = Replies(
        {
            "ListUserPolicies": lambda _: ok("<PolicyNames><member>tenant-retention</member></PolicyNames>"),
            "GetUserPolicy": lambda _: ok(f"<PolicyDocument>{quote(document)}</PolicyDocument>"),
        }
    )
    (observed,) = driver(replies).observe(["acme-app"])
    assert observed.policies == (("tenant-retention", document),)
    assert replies.urls == {"https://iam.amazonaws.com/"}


def test_lists_are_read_over_all_pages() -> None:
    def page(form: dict[str, str]) -> Answer:
        key = form.get("Marker", "first")
        more = "<IsTruncated>true</IsTruncated><Marker>second</Marker>" if key == "first" else ""
        member = f"<member><AccessKeyId>AK{key}</AccessKeyId><Status>Inactive</Status></member>"
        return ok(f"<AccessKeyMetadata>{member}</AccessKeyMetadata>{more}")

    (observed,) = driver(Replies({"ListAccessKeys": page})).observe(["acme-app"])
    assert observed.keys == (ObservedKey("AKfirst", active=False), ObservedKey("AKsecond", active=False))


def test_a_list_without_an_end_is_given_up() -> None:
    endless = ok("<IsTruncated>true</IsTruncated><Marker>again</Marker>")
    with pytest.raises(Unavailable):
        driver(Replies({"ListUserPolicies": lambda _: endless})).observe(["acme-app"])


def test_a_store_without_groups_and_managed_policies_has_none() -> None:
    unknown = {
        name: lambda _: error(400, "InvalidAction") for name in ("ListGroupsForUser", "ListAttachedUserPolicies")
    }
    (observed,) = driver(Replies(dict(unknown))).observe(["acme-app"])
    assert (observed.exists, observed.groups, observed.attached) == (True, (), ())


def test_a_user_that_is_not_there_costs_one_request() -> None:
    replies = Replies({"GetUser": lambda _: error(404, "NoSuchEntity")})
    (observed,) = driver(replies).observe(["acme-app"])
    assert observed.exists is False
    assert replies.actions() == ["GetUser"]


def test_what_is_made_already_or_gone_already_is_fine() -> None:
    replies = Replies(
        {
            "CreateUser": lambda _: error(409, "EntityAlreadyExists"),
            "DeleteAccessKey": lambda _: error(404, "NoSuchEntity"),
        }
    )
    driver(replies).apply(CreateUser("acme-app"))
    driver(replies).apply(RemoveKey("acme-app", "AK1"))
    assert replies.actions() == ["CreateUser", "DeleteAccessKey"]


def test_a_user_goes_after_everything_that_hangs_on_it_because_aws_refuses_otherwise() -> None:
    replies = Replies(
        {
            "ListUserPolicies": lambda _: ok("<PolicyNames><member>p</member></PolicyNames>"),
            "GetUserPolicy": lambda _: ok("<PolicyDocument>{}</PolicyDocument>"),
            "ListAccessKeys": lambda _: ok(
                "<AccessKeyMetadata><member><AccessKeyId>A</AccessKeyId></member></AccessKeyMetadata>"
            ),
            "ListAttachedUserPolicies": lambda _: ok(
                "<AttachedPolicies><member><PolicyArn>arn</PolicyArn></member></AttachedPolicies>"
            ),
            "ListGroupsForUser": lambda _: ok("<Groups><member><GroupName>g</GroupName></member></Groups>"),
        }
    )
    driver(replies).apply(RemoveUser("acme-app"))
    removals = [action for action in replies.actions() if not action.startswith(("Get", "List"))]
    assert set(removals[:-1]) == {"DeleteAccessKey", "DetachUserPolicy", "DeleteUserPolicy", "RemoveUserFromGroup"}
    assert removals[-1] == "DeleteUser"


def test_a_third_key_waits_until_one_of_the_two_has_ended() -> None:
    with pytest.raises(NotReady):
        driver(Replies({"CreateAccessKey": lambda _: error(409, "LimitExceeded")})).apply(
            IssueKey(BucketRole.APP, "acme-app")
        )


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (403, "InvalidClientTokenId", Invalid, "AuthenticationFailed"),
        (403, "SignatureDoesNotMatch", Invalid, "AuthenticationFailed"),
        (403, "AccessDenied", Invalid, "PrivilegesMissing"),
        (400, "Throttling", Unavailable, "Unavailable"),
        (503, "ServiceUnavailable", Unavailable, "Unavailable"),
        (409, "ConcurrentModification", Unavailable, "Unavailable"),
        (400, "MalformedPolicyDocument", Invalid, "SettingNotKept"),
    ],
)
def test_a_refusal_says_who_must_do_something(status: int, code: str, kind: type[RetentionError], reason: str) -> None:
    with pytest.raises(kind) as refused:
        driver(Replies({"CreateUser": lambda _: error(status, code)})).apply(CreateUser("acme-app"))
    assert refused.value.reason == reason
    assert code in refused.value.message


def test_an_answer_that_is_no_xml_is_no_success() -> None:
    for answer in (Answer(200, "<html"), Answer(502, "Bad Gateway")):
        with pytest.raises(Unavailable):
            driver(Replies({"CreateUser": lambda _, answer=answer: answer})).apply(CreateUser("acme-app"))  # type: ignore[misc]
