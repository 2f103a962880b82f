"""The IAM dialect of AWS, SeaweedFS and Ceph: signed form POSTs, version 2010-05-08. Inline user policies only.

What the dialects do differently is held here: AWS returns policies URL-encoded; SeaweedFS answers GetUserPolicy for
names that do not exist, so that policies are listed first; Ceph may not know groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.errors import from_code
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
from tenant_retention.domain.errors import NotReady, Unavailable

_VERSION = "2010-05-08"
_GONE = "NoSuchEntity"
_EXISTS = "EntityAlreadyExists"
_LIMIT = "LimitExceeded"
_UNKNOWN_ACTIONS = frozenset({"InvalidAction", "NotImplemented", "MethodNotAllowed", "UnknownOperationException"})
_PAGES = 50


class AwsIdentities:
    """Users, inline policies and access keys at an endpoint that speaks AWS's IAM. Implements ``IdentityDriver``."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self._url, self._region = iam_address(connection.endpoint.url, connection.endpoint.region)

    def observe(self, users: Sequence[str]) -> tuple[ObservedIdentity, ...]:
        """The users with their policies, groups and keys; about five requests each. Raises Unavailable or Invalid."""
        return tuple(self._observe(user) for user in users)

    def _observe(self, user: str) -> ObservedIdentity:
        if self._call("GetUser", UserName=user, accept=(_GONE,)).code == _GONE:
            return ObservedIdentity(user)
        names = [each.text or "" for each in self._members("ListUserPolicies", "PolicyNames", user)]
        attached = self._members("ListAttachedUserPolicies", "AttachedPolicies", user, optional=True)
        groups = self._members("ListGroupsForUser", "Groups", user, optional=True)
        return ObservedIdentity(
            user=user,
            exists=True,
            policies=tuple((name, self._policy(user, name)) for name in names),
            attached=tuple(each.findtext("PolicyArn") or "" for each in attached),
            groups=tuple(each.findtext("GroupName") or "" for each in groups),
            keys=self._keys(user),
        )

    def apply(self, step: IdentityStep) -> AccessKey | None:
        """Carries one step out. Raises NotReady if a user has two keys already, Unavailable or Invalid."""
        match step:
            case CreateUser(user):
                self._call("CreateUser", UserName=user, accept=(_EXISTS,))
            case PutPolicy(user, policy):
                self._call("PutUserPolicy", UserName=user, PolicyName=POLICY_NAME, PolicyDocument=policy)
            case RemovePolicy(user, arn, attached=True):
                self._call("DetachUserPolicy", UserName=user, PolicyArn=arn, accept=(_GONE,))
            case RemovePolicy(user, name):
                self._call("DeleteUserPolicy", UserName=user, PolicyName=name, accept=(_GONE,))
            case LeaveGroup(user, group):
                self._call("RemoveUserFromGroup", UserName=user, GroupName=group, accept=(_GONE,))
            case RemoveKey(user, key_id):
                self._call("DeleteAccessKey", UserName=user, AccessKeyId=key_id, accept=(_GONE,))
            case IssueKey(_, user):
                return self._issue(user)
            case RemoveUser(user):
                self._remove(user)
        return None

    def _issue(self, user: str) -> AccessKey:
        answer = self._call("CreateAccessKey", UserName=user, accept=(_LIMIT,))
        if answer.code == _LIMIT:
            raise NotReady(f"user {user} has two access keys; one must end before the next", reason="Provisioning")
        key_id, secret = answer.text("AccessKeyId"), answer.text("SecretAccessKey")
        if not key_id or not secret:
            raise Unavailable(f"the store's answer has no access key for user {user}", reason="Unavailable")
        return AccessKey(key_id, secret)

    def _remove(self, user: str) -> None:
        known = self._observe(user)
        for key in known.keys:
            self.apply(RemoveKey(user, key.key_id))
        for arn in known.attached:
            self.apply(RemovePolicy(user, arn, attached=True))
        for name, _ in known.policies:
            self.apply(RemovePolicy(user, name))
        for group in known.groups:
            self.apply(LeaveGroup(user, group))
        self._call("DeleteUser", UserName=user, accept=(_GONE,))

    def _policy(self, user: str, name: str) -> str:
        text = self._call("GetUserPolicy", UserName=user, PolicyName=name).text("PolicyDocument")
        return canonical_policy(unquote(text) if text.startswith("%") else text)

    def _keys(self, user: str) -> tuple[ObservedKey, ...]:
        listed = self._members("ListAccessKeys", "AccessKeyMetadata", user)
        return tuple(
            ObservedKey(key.findtext("AccessKeyId") or "", key.findtext("Status") in {None, "Active"}) for key in listed
        )

    def _members(self, action: str, listed: str, user: str, *, optional: bool = False) -> list[ElementTree.Element]:
        """The members of the list over all pages; ``optional``: a store that does not know the action has none."""
        found: list[ElementTree.Element] = []
        marker: dict[str, str] = {}
        for _ in range(_PAGES):
            accept = tuple(_UNKNOWN_ACTIONS) if optional else ()
            answer = self._call(action, UserName=user, accept=(*accept, _GONE), **marker)
            if answer.code:
                return found
            found += answer.root.findall(f".//{listed}/member")
            if answer.text("IsTruncated") != "true" or not answer.text("Marker"):
                return found
            marker = {"Marker": answer.text("Marker")}
        raise Unavailable(f"the store lists user {user} without an end", reason="Unavailable")

    def _call(self, action: str, *, accept: tuple[str, ...] = (), **parameters: str) -> _Reply:
        task = f"{action} for user {parameters['UserName']}"
        form = {"Action": action, "Version": _VERSION, **parameters}
        answer = self._connection.signed("iam", self._region, "POST", self._url, data=form, task=task)
        reply = _Reply.parse(answer.status, answer.body)
        if answer.status == 200 or reply.code in accept:
            return reply
        raise from_code(reply.code, answer.status, task)


@dataclass(frozen=True)
class _Reply:
    """An answer's XML without its namespace; ``code``: the error code, empty if it is none."""

    code: str
    root: ElementTree.Element

    @classmethod
    def parse(cls, status: int, body: str) -> _Reply:
        try:
            root = ElementTree.fromstring(body)
        except ElementTree.ParseError:
            if status == 200:
                raise Unavailable("the IAM endpoint's answer is not XML", reason="Unavailable") from None
            return cls("", ElementTree.Element("none"))
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return cls("" if status == 200 else (root.findtext(".//Code") or ""), root)

    def text(self, name: str) -> str:
        return self.root.findtext(f".//{name}") or ""


def iam_address(endpoint: str, region: str) -> tuple[str, str]:
    """Where IAM answers and for which region requests are signed: AWS has a global address, the others the S3 one."""
    host = urlsplit(endpoint).hostname or ""
    if host.endswith(".amazonaws.com.cn"):
        return "https://iam.cn-north-1.amazonaws.com.cn/", "cn-north-1"
    if host.endswith(".amazonaws.com"):
        if region.startswith("us-gov-"):
            return "https://iam.us-gov.amazonaws.com/", "us-gov-west-1"
        return "https://iam.amazonaws.com/", "us-east-1"
    return endpoint.rstrip("/") + "/", region
