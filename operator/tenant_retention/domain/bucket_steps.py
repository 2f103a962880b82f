"""The steps that bring a bucket to what is wanted: frozen values, printed by a dry run, executed by an adapter."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.domain.bucket_identities import BucketRole


@dataclass(frozen=True)
class CreateBucket:
    """Makes the bucket; object lock can be had from birth only at some stores."""

    bucket: str
    object_lock: bool

    def describe(self) -> str:
        """One line for people."""
        return f"create bucket {self.bucket}" + (" with object lock" if self.object_lock else "")


@dataclass(frozen=True)
class WriteMarker:
    """Sets the bucket's tags: our marker, and what others had added."""

    bucket: str
    tags: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        """One line for people."""
        return f"mark bucket {self.bucket} as this store's"


@dataclass(frozen=True)
class SetVersioning:
    """Switches versioning on, or suspends it (it can never be off again)."""

    bucket: str
    enabled: bool

    def describe(self) -> str:
        """One line for people."""
        return f"{'enable' if self.enabled else 'suspend'} versioning of bucket {self.bucket}"


@dataclass(frozen=True)
class SetObjectLock:
    """Object lock without a default retention: a default would count from the upload instead of the birth."""

    bucket: str
    drop_default: bool = False

    def describe(self) -> str:
        """One line for people."""
        what = "drop the default retention" if self.drop_default else "enable object lock"
        return f"{what} of bucket {self.bucket}"


@dataclass(frozen=True)
class SetEncryption:
    """Default encryption with keys of the store (SSE-S3)."""

    bucket: str

    def describe(self) -> str:
        """One line for people."""
        return f"encrypt bucket {self.bucket} by default (SSE-S3)"


@dataclass(frozen=True)
class SetLifecycle:
    """Replaces all lifecycle rules by one long-stop, or by none: a foreign expiry rule would delete before min (M8)."""

    bucket: str
    abort_uploads_after_days: int | None
    foreign: int

    def describe(self) -> str:
        """One line for people."""
        removed = f", remove {self.foreign} foreign lifecycle rules" if self.foreign else ""
        if self.abort_uploads_after_days is None:
            return f"no lifecycle rules in bucket {self.bucket}{removed}"
        return f"abort unfinished uploads in bucket {self.bucket} after {self.abort_uploads_after_days} days{removed}"


@dataclass(frozen=True)
class RemoveBucketPolicy:
    """Removes a bucket policy: it could give others access; our identities have policies of their own."""

    bucket: str

    def describe(self) -> str:
        """One line for people."""
        return f"remove the foreign bucket policy of bucket {self.bucket}"


@dataclass(frozen=True)
class CreateUser:
    """Makes the user of a role; one that exists already is fine."""

    user: str

    def describe(self) -> str:
        """One line for people."""
        return f"create user {self.user}"


@dataclass(frozen=True)
class PutPolicy:
    """Gives a user its policy (canonical JSON)."""

    user: str
    policy: str

    def describe(self) -> str:
        """One line for people."""
        return f"write the policy of user {self.user}"


@dataclass(frozen=True)
class RemovePolicy:
    """Takes a surplus policy away: ``attached`` tells a managed policy from an inline one."""

    user: str
    policy_name: str
    attached: bool = False

    def describe(self) -> str:
        """One line for people."""
        return f"remove surplus policy {self.policy_name} from user {self.user}"


@dataclass(frozen=True)
class LeaveGroup:
    """Takes a user out of a group, whose policies it would share."""

    user: str
    group: str

    def describe(self) -> str:
        """One line for people."""
        return f"remove user {self.user} from group {self.group}"


@dataclass(frozen=True)
class RemoveKey:
    """Ends an access key that nothing holds."""

    user: str
    key_id: str

    def describe(self) -> str:
        """One line for people; the key's id stays out of messages."""
        return f"remove an access key of user {self.user} that nothing uses"


@dataclass(frozen=True)
class IssueKey:
    """Makes an access key for a role; the caller puts it into the binding Secret."""

    role: BucketRole
    user: str

    def describe(self) -> str:
        """One line for people."""
        return f"issue an access key for user {self.user}"


@dataclass(frozen=True)
class RemoveUser:
    """Removes a user with its policies and keys: a role that is no longer wanted."""

    user: str

    def describe(self) -> str:
        """One line for people."""
        return f"remove user {self.user}"


BucketSettingStep = (
    CreateBucket | WriteMarker | SetVersioning | SetObjectLock | SetEncryption | SetLifecycle | RemoveBucketPolicy
)
IdentityStep = CreateUser | PutPolicy | RemovePolicy | LeaveGroup | RemoveKey | IssueKey | RemoveUser
BucketStep = BucketSettingStep | IdentityStep
