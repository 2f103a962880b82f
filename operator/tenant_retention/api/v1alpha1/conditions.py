"""The closed list of condition types and reasons; the reference in docs/ is generated from it.

A reason that is not here is not used: in conditions, in `status.stores[].reason`, nor in Events.
"""

from enum import StrEnum


class ConditionType(StrEnum):
    """Types of conditions; the text says what True means."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    DATABASES_READY = "DatabasesReady"
    BUCKETS_READY = "BucketsReady"
    CACHES_READY = "CachesReady"
    SCHEDULES_READY = "SchedulesReady"
    ISOLATION_VERIFIED = "IsolationVerified"
    ENCRYPTION_VERIFIED = "EncryptionVerified"
    STORES_HEALTHY = "StoresHealthy"
    COMPLIANT = "Compliant"
    DEBT_FORESEEN = "DebtForeseen"
    APPROVAL_REQUIRED = "ApprovalRequired"
    EXTENDED_STORAGE_ENDING = "ExtendedStorageEnding"
    UNCOVERED = "Uncovered"


class Reason(StrEnum):
    """Reasons of conditions, stores and Events."""

    ENFORCING = "Enforcing"
    DRY_RUN = "DryRun"
    SUSPENDED = "Suspended"
    AVAILABLE = "Available"
    SCHEDULED = "Scheduled"
    VERIFIED = "Verified"
    WITHIN_LIMITS = "WithinLimits"
    COMPLIANT = "Compliant"
    NOT_REQUIRED = "NotRequired"
    PROVISIONING = "Provisioning"
    WAITING_FOR_PROFILE = "WaitingForProfile"
    WAITING_FOR_CLASS = "WaitingForClass"
    WAITING_FOR_CLOUD_NATIVE_PG = "WaitingForCloudNativePG"
    WAITING_FOR_VOLUME = "WaitingForVolume"
    WAITING_FOR_SERVER = "WaitingForServer"
    NOT_YET_VERIFIED = "NotYetVerified"
    AT_REST_UNKNOWN = "AtRestUnknown"
    NOT_YET_MEASURED = "NotYetMeasured"
    NO_RUN_YET = "NoRunYet"
    PENDING = "Pending"
    RUNNING = "Running"
    POD_PENDING = "PodPending"
    PROFILE_NOT_FOUND = "ProfileNotFound"
    PROFILE_NOT_ALLOWED = "ProfileNotAllowed"
    PROFILE_INVALID = "ProfileInvalid"
    CATEGORY_UNKNOWN = "CategoryUnknown"
    KEEP_OUT_OF_BOUNDS = "KeepOutOfBounds"
    CONTENT_OUTLIVES_RECORD = "ContentOutlivesRecord"
    ANONYMIZE_OUT_OF_BOUNDS = "AnonymizeOutOfBounds"
    SPEC_INVALID = "SpecInvalid"
    INVALID_DURATION = "InvalidDuration"
    INVALID_NAME = "InvalidName"
    TIME_ZONE_UNKNOWN = "TimeZoneUnknown"
    NAMESPACE_NOT_SERVED = "NamespaceNotServed"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    CLASS_NOT_FOUND = "ClassNotFound"
    CLOUD_NATIVE_PG_MISSING = "CloudNativePGMissing"
    CLASS_NOT_ALLOWED = "ClassNotAllowed"
    CLASS_LIMIT_EXCEEDED = "ClassLimitExceeded"
    CLASS_INVALID = "ClassInvalid"
    NO_DEFAULT_CLASS = "NoDefaultClass"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_INVALID = "SecretInvalid"
    STORE_CONFLICT = "StoreConflict"
    STORE_RELEASED = "StoreReleased"
    POLICY_NOT_FOUND = "PolicyNotFound"
    APPROVAL_EXPIRED = "ApprovalExpired"
    APPROVAL_MISMATCH = "ApprovalMismatch"
    SERVER_UNREACHABLE = "ServerUnreachable"
    SERVER_TOO_SLOW = "ServerTooSlow"
    SERVER_TOO_OLD = "ServerTooOld"
    CERTIFICATE_INVALID = "CertificateInvalid"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    PRIVILEGES_MISSING = "PrivilegesMissing"
    OPERATOR_TOO_OLD = "OperatorTooOld"
    ISOLATION_BROKEN = "IsolationBroken"
    ENCRYPTION_MISSING = "EncryptionMissing"
    LIMIT_EXCEEDED = "LimitExceeded"
    CONNECTIONS_EXHAUSTED = "ConnectionsExhausted"
    SETTING_NOT_KEPT = "SettingNotKept"
    GUARD_STOPPED = "GuardStopped"
    DELETION_DEBT = "DeletionDebt"
    DEBT_FORESEEN = "DebtForeseen"
    NOT_FORESEEN = "NotForeseen"
    EVIDENCE_BROKEN = "EvidenceBroken"
    ANOMALIES_TOO_OLD = "AnomaliesTooOld"
    CATEGORIES_NOT_ENFORCED = "CategoriesNotEnforced"
    EXTENDED_STORAGE_ENDS = "ExtendedStorageEnds"
    EXTENDED_STORAGE_KEPT = "ExtendedStorageKept"
    RUN_MISSED = "RunMissed"
    RUN_FAILED = "RunFailed"
    RUN_SUCCEEDED = "RunSucceeded"
    ORPHANS_FOUND = "OrphansFound"
    INVALID_PLAN = "InvalidPlan"
    UNKNOWN_CATEGORY = "UnknownCategory"
    BINDING_INVALID = "BindingInvalid"
    RULES_CHANGED = "RulesChanged"
    CLOCK_SKEW = "ClockSkew"
    CLOCK_JUMPED = "ClockJumped"
    RUN_IN_PROGRESS = "RunInProgress"
    PARTITIONS_MISSING = "PartitionsMissing"
    NO_PROGRESS = "NoProgress"
    UPLOADS_LEFT = "UploadsLeft"
    SHARED_BUCKET = "SharedBucket"
    INTERRUPTED = "Interrupted"
    LOCK_TIMEOUT = "LockTimeout"
    DEADLOCK = "Deadlock"
    RUN_NOT_OPEN = "RunNotOpen"
    STEP_NOT_ALLOWED = "StepNotAllowed"
    UNKNOWN_TABLE = "UnknownTable"
    UNKNOWN_PARTITION = "UnknownPartition"
    UNFORESEEN = "Unforeseen"
    YOUNGER_THAN_MINIMUM = "YoungerThanMinimum"
    HELD = "Held"
    WRITTEN_ONCE = "WrittenOnce"
    EVIDENCE_APPEND_ONLY = "EvidenceAppendOnly"
    ISOLATION_LEVEL = "IsolationLevel"
    CONSENT_REFUSED = "ConsentRefused"
    DIGITS_UNMASKED = "DigitsUnmasked"
    CONTENT_AGAINST_CONSENT = "ContentAgainstConsent"
    MEDIA_UNAPPROVED = "MediaUnapproved"
    NOT_IN_PROFILE = "NotInProfile"
    DRIFT_REPAIRED = "DriftRepaired"
    UNAVAILABLE = "Unavailable"


REASON_GROUPS: dict[str, tuple[Reason, ...]] = {
    "All is as wanted": (
        Reason.ENFORCING,
        Reason.DRY_RUN,
        Reason.SUSPENDED,
        Reason.AVAILABLE,
        Reason.SCHEDULED,
        Reason.VERIFIED,
        Reason.COMPLIANT,
        Reason.NOT_REQUIRED,
        Reason.NOT_FORESEEN,
        Reason.WITHIN_LIMITS,
        Reason.EXTENDED_STORAGE_KEPT,
    ),
    "Under way: waiting helps": (
        Reason.PROVISIONING,
        Reason.WAITING_FOR_PROFILE,
        Reason.WAITING_FOR_CLASS,
        Reason.WAITING_FOR_CLOUD_NATIVE_PG,
        Reason.WAITING_FOR_VOLUME,
        Reason.WAITING_FOR_SERVER,
        Reason.NOT_YET_VERIFIED,
        Reason.NOT_YET_MEASURED,
        Reason.NO_RUN_YET,
        Reason.PENDING,
        Reason.RUNNING,
    ),
    "Something must be changed: retrying does not help": (
        Reason.PROFILE_NOT_FOUND,
        Reason.PROFILE_NOT_ALLOWED,
        Reason.PROFILE_INVALID,
        Reason.CATEGORY_UNKNOWN,
        Reason.KEEP_OUT_OF_BOUNDS,
        Reason.CONTENT_OUTLIVES_RECORD,
        Reason.ANONYMIZE_OUT_OF_BOUNDS,
        Reason.SPEC_INVALID,
        Reason.INVALID_DURATION,
        Reason.INVALID_NAME,
        Reason.TIME_ZONE_UNKNOWN,
        Reason.NAMESPACE_NOT_SERVED,
        Reason.NAMESPACE_TERMINATING,
        Reason.CLASS_NOT_FOUND,
        Reason.CLOUD_NATIVE_PG_MISSING,
        Reason.CLASS_NOT_ALLOWED,
        Reason.CLASS_LIMIT_EXCEEDED,
        Reason.CLASS_INVALID,
        Reason.NO_DEFAULT_CLASS,
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_INVALID,
        Reason.STORE_CONFLICT,
        Reason.STORE_RELEASED,
        Reason.POLICY_NOT_FOUND,
        Reason.APPROVAL_EXPIRED,
        Reason.APPROVAL_MISMATCH,
    ),
    "A store's server does not do what it must": (
        Reason.SERVER_UNREACHABLE,
        Reason.SERVER_TOO_SLOW,
        Reason.SERVER_TOO_OLD,
        Reason.CERTIFICATE_INVALID,
        Reason.AUTHENTICATION_FAILED,
        Reason.PRIVILEGES_MISSING,
        Reason.OPERATOR_TOO_OLD,
        Reason.ISOLATION_BROKEN,
        Reason.ENCRYPTION_MISSING,
        Reason.AT_REST_UNKNOWN,
        Reason.LIMIT_EXCEEDED,
        Reason.CONNECTIONS_EXHAUSTED,
        Reason.SETTING_NOT_KEPT,
    ),
    "Retention": (
        Reason.GUARD_STOPPED,
        Reason.DELETION_DEBT,
        Reason.DEBT_FORESEEN,
        Reason.EVIDENCE_BROKEN,
        Reason.ANOMALIES_TOO_OLD,
        Reason.CATEGORIES_NOT_ENFORCED,
        Reason.EXTENDED_STORAGE_ENDS,
        Reason.CONTENT_AGAINST_CONSENT,
        Reason.MEDIA_UNAPPROVED,
        Reason.NOT_IN_PROFILE,
        Reason.POD_PENDING,
        Reason.RUN_MISSED,
        Reason.RUN_FAILED,
        Reason.RUN_SUCCEEDED,
        Reason.ORPHANS_FOUND,
    ),
    "Why a run ended early": (
        Reason.INVALID_PLAN,
        Reason.UNKNOWN_CATEGORY,
        Reason.BINDING_INVALID,
        Reason.RULES_CHANGED,
        Reason.CLOCK_SKEW,
        Reason.CLOCK_JUMPED,
        Reason.RUN_IN_PROGRESS,
        Reason.PARTITIONS_MISSING,
        Reason.NO_PROGRESS,
        Reason.UPLOADS_LEFT,
        Reason.SHARED_BUCKET,
        Reason.INTERRUPTED,
        Reason.LOCK_TIMEOUT,
        Reason.DEADLOCK,
        Reason.RUN_NOT_OPEN,
        Reason.STEP_NOT_ALLOWED,
        Reason.UNKNOWN_TABLE,
        Reason.UNKNOWN_PARTITION,
        Reason.UNFORESEEN,
    ),
    "What a tenant's database refuses": (
        Reason.YOUNGER_THAN_MINIMUM,
        Reason.HELD,
        Reason.WRITTEN_ONCE,
        Reason.EVIDENCE_APPEND_ONLY,
        Reason.ISOLATION_LEVEL,
        Reason.CONSENT_REFUSED,
        Reason.DIGITS_UNMASKED,
    ),
    "Put right, and passing": (
        Reason.DRIFT_REPAIRED,
        Reason.UNAVAILABLE,
    ),
}
"""All reasons, by what the reader must do; run reasons are in the run's report, its Job's termination message and
``status.jobs[].message``, the database's own in the DETAIL of its error (SQLSTATE RTG00)."""


SUMMARY_TYPES = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
