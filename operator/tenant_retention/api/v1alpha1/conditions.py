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
    SCHEDULES_READY = "SchedulesReady"
    ISOLATION_VERIFIED = "IsolationVerified"
    COMPLIANT = "Compliant"
    APPROVAL_REQUIRED = "ApprovalRequired"


class Reason(StrEnum):
    """Reasons of conditions, stores and Events."""

    ENFORCING = "Enforcing"
    DRY_RUN = "DryRun"
    SUSPENDED = "Suspended"
    AVAILABLE = "Available"
    SCHEDULED = "Scheduled"
    VERIFIED = "Verified"
    COMPLIANT = "Compliant"
    NOT_REQUIRED = "NotRequired"
    PROVISIONING = "Provisioning"
    WAITING_FOR_PROFILE = "WaitingForProfile"
    WAITING_FOR_CLASS = "WaitingForClass"
    WAITING_FOR_VOLUME = "WaitingForVolume"
    WAITING_FOR_SERVER = "WaitingForServer"
    NOT_YET_VERIFIED = "NotYetVerified"
    NO_RUN_YET = "NoRunYet"
    PENDING = "Pending"
    RUNNING = "Running"
    PROFILE_NOT_FOUND = "ProfileNotFound"
    PROFILE_NOT_ALLOWED = "ProfileNotAllowed"
    PROFILE_INVALID = "ProfileInvalid"
    CATEGORY_UNKNOWN = "CategoryUnknown"
    KEEP_OUT_OF_BOUNDS = "KeepOutOfBounds"
    CONTENT_OUTLIVES_RECORD = "ContentOutlivesRecord"
    SPEC_INVALID = "SpecInvalid"
    INVALID_DURATION = "InvalidDuration"
    INVALID_NAME = "InvalidName"
    TIME_ZONE_UNKNOWN = "TimeZoneUnknown"
    NAMESPACE_NOT_SERVED = "NamespaceNotServed"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    CLASS_NOT_FOUND = "ClassNotFound"
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
    SETTING_NOT_KEPT = "SettingNotKept"
    GUARD_STOPPED = "GuardStopped"
    DELETION_DEBT = "DeletionDebt"
    EVIDENCE_BROKEN = "EvidenceBroken"
    ANOMALIES_TOO_OLD = "AnomaliesTooOld"
    CATEGORIES_NOT_ENFORCED = "CategoriesNotEnforced"
    RUN_MISSED = "RunMissed"
    RUN_FAILED = "RunFailed"
    RUN_SUCCEEDED = "RunSucceeded"
    INVALID_PLAN = "InvalidPlan"
    UNKNOWN_CATEGORY = "UnknownCategory"
    BINDING_INVALID = "BindingInvalid"
    RULES_CHANGED = "RulesChanged"
    CLOCK_SKEW = "ClockSkew"
    CLOCK_JUMPED = "ClockJumped"
    RUN_IN_PROGRESS = "RunInProgress"
    PARTITIONS_MISSING = "PartitionsMissing"
    NO_PROGRESS = "NoProgress"
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
    ),
    "Under way: waiting helps": (
        Reason.PROVISIONING,
        Reason.WAITING_FOR_PROFILE,
        Reason.WAITING_FOR_CLASS,
        Reason.WAITING_FOR_VOLUME,
        Reason.WAITING_FOR_SERVER,
        Reason.NOT_YET_VERIFIED,
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
        Reason.SPEC_INVALID,
        Reason.INVALID_DURATION,
        Reason.INVALID_NAME,
        Reason.TIME_ZONE_UNKNOWN,
        Reason.NAMESPACE_NOT_SERVED,
        Reason.NAMESPACE_TERMINATING,
        Reason.CLASS_NOT_FOUND,
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
        Reason.SETTING_NOT_KEPT,
    ),
    "Retention": (
        Reason.GUARD_STOPPED,
        Reason.DELETION_DEBT,
        Reason.EVIDENCE_BROKEN,
        Reason.ANOMALIES_TOO_OLD,
        Reason.CATEGORIES_NOT_ENFORCED,
        Reason.RUN_MISSED,
        Reason.RUN_FAILED,
        Reason.RUN_SUCCEEDED,
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
    ),
    "Put right, and passing": (
        Reason.DRIFT_REPAIRED,
        Reason.UNAVAILABLE,
    ),
}
"""All reasons, by what the reader must do; run reasons are in the run's report, its Job's termination message and
``status.jobs[].message``, the database's own in the DETAIL of its error (SQLSTATE RTG00)."""


CONDITION_TEXT: dict[ConditionType, str] = {
    ConditionType.READY: "Stores, schedules and rules are as the spec of this generation asks.",
    ConditionType.RECONCILING: "The operator is still working towards the spec; waiting helps.",
    ConditionType.STALLED: "The user must change something; the last good rules stay enforced inside today's bounds.",
    ConditionType.DATABASES_READY: "All databases answer and hold the wanted tables, roles, guards and rules.",
    ConditionType.BUCKETS_READY: "All buckets answer and hold the wanted settings and identities.",
    ConditionType.SCHEDULES_READY: "The CronJobs are as wanted.",
    ConditionType.ISOLATION_VERIFIED: "Each role of this policy was tried elsewhere and refused.",
    ConditionType.COMPLIANT: "No deletion debt, the last run came in time, and every category is enforced.",
    ConditionType.APPROVAL_REQUIRED: "The guard stopped a run; a RetentionRun with `approves` lets it through.",
}
"""What True means."""

REASON_TEXT: dict[Reason, str] = {
    Reason.ENFORCING: "Runs delete what is due.",
    Reason.DRY_RUN: "`mode: DryRun`: runs count and report, delete nothing; debt counts on.",
    Reason.SUSPENDED: "`suspend: true`: no runs; debt counts on.",
    Reason.AVAILABLE: "Everything wanted is there.",
    Reason.SCHEDULED: "The CronJobs are as wanted.",
    Reason.VERIFIED: "Every try to reach another tenant's data was refused.",
    Reason.COMPLIANT: "Nothing is past its deadline.",
    Reason.NOT_REQUIRED: "The guard asks for nothing.",
    Reason.PROVISIONING: "Stores, roles or tables are being made.",
    Reason.WAITING_FOR_PROFILE: "The profile does not exist yet; after 5 minutes this becomes ProfileNotFound.",
    Reason.WAITING_FOR_CLASS: "The class does not exist yet; after 5 minutes this becomes ClassNotFound.",
    Reason.WAITING_FOR_VOLUME: "The volume of an embedded server is not bound yet.",
    Reason.WAITING_FOR_SERVER: "An embedded server is starting.",
    Reason.NOT_YET_VERIFIED: "The probe has not run yet.",
    Reason.NO_RUN_YET: "No run has ended yet.",
    Reason.PENDING: "Not begun yet.",
    Reason.RUNNING: "The Job runs.",
    Reason.PROFILE_NOT_FOUND: "Create the RetentionProfile that `spec.profileRef.name` names.",
    Reason.PROFILE_NOT_ALLOWED: "The profile's `allowedNamespaces` does not select the namespace.",
    Reason.PROFILE_INVALID: "The profile contradicts itself; the message names the field.",
    Reason.CATEGORY_UNKNOWN: "`spec.retention` names a category that the profile does not have.",
    Reason.KEEP_OUT_OF_BOUNDS: "A keep is shorter than min or longer than max; the message names category and bound.",
    Reason.CONTENT_OUTLIVES_RECORD: "Content would be kept longer than its record (P4).",
    Reason.SPEC_INVALID: "A field is not as the API says; the message names it.",
    Reason.INVALID_DURATION: "A period is not one number and one unit, or a window does not fit a day.",
    Reason.INVALID_NAME: "A name is not a DNS label, or too long.",
    Reason.TIME_ZONE_UNKNOWN: "`spec.timeZone` is not an IANA time zone.",
    Reason.NAMESPACE_NOT_SERVED: "The namespace lacks the label `tenantretention.io/tenant=true`; the message has the command.",
    Reason.NAMESPACE_TERMINATING: "The namespace is being deleted; nothing is made in it any more.",
    Reason.CLASS_NOT_FOUND: "Create the DataStoreClass that `spec.stores[].className` names.",
    Reason.CLASS_NOT_ALLOWED: "The class's `allowedNamespaces` does not select the namespace.",
    Reason.CLASS_LIMIT_EXCEEDED: "The namespace has as many stores, or asks for as much storage, as the class allows.",
    Reason.CLASS_INVALID: "The class contradicts itself; the message names the field.",
    Reason.NO_DEFAULT_CLASS: "No class of that type is the default, or several are; name one in `spec.stores[].className`.",
    Reason.SECRET_NOT_FOUND: "A Secret that the class names is not in the operator's namespace.",
    Reason.SECRET_INVALID: "A Secret that the class names lacks a key.",
    Reason.STORE_CONFLICT: "A store of that name exists without this installation's marker, or another policy has it.",
    Reason.STORE_RELEASED: "The store was another policy's; an administrator binds it again by `spec.claimRef`.",
    Reason.POLICY_NOT_FOUND: "`spec.policyRef` names no policy of this namespace.",
    Reason.APPROVAL_EXPIRED: "`spec.approves.until` has passed; make a new RetentionRun.",
    Reason.APPROVAL_MISMATCH: "The rules or the counts are not those that were approved; make a new RetentionRun.",
    Reason.SERVER_UNREACHABLE: "The server does not answer.",
    Reason.SERVER_TOO_SLOW: "The server answers too slowly.",
    Reason.SERVER_TOO_OLD: "The server's version is older than 15.",
    Reason.CERTIFICATE_INVALID: "The server's certificate is not from the expected authority, or for another name.",
    Reason.AUTHENTICATION_FAILED: "The server refuses the administrator's credentials.",
    Reason.PRIVILEGES_MISSING: "The administrator lacks a privilege; the message names it.",
    Reason.OPERATOR_TOO_OLD: "A newer operator made the database; upgrade this one.",
    Reason.ISOLATION_BROKEN: "A role of this policy could reach what is not its own.",
    Reason.SETTING_NOT_KEPT: "A bucket or database setting was accepted but read back differently.",
    Reason.GUARD_STOPPED: "More would be newly deleted than `spec.guard.maxDeletedPercent` lets pass.",
    Reason.DELETION_DEBT: "Data is past its deadline and still there.",
    Reason.EVIDENCE_BROKEN: "A link of the evidence chain was changed or removed; keep a copy of `retention.evidence`, find the writer.",
    Reason.ANOMALIES_TOO_OLD: "Items without a usable time were first seen longer than max ago (X8).",
    Reason.CATEGORIES_NOT_ENFORCED: (
        "No run deletes from some categories: this version does not act on their clock, or they left the profile with data."
    ),
    Reason.RUN_MISSED: "A run did not come; the operator started it.",
    Reason.RUN_FAILED: "The last run failed; the message says what to do.",
    Reason.RUN_SUCCEEDED: "The run ended well.",
    Reason.INVALID_PLAN: "The plan document is not as it must be; the message names the file and the field.",
    Reason.UNKNOWN_CATEGORY: "The run is limited to a category that its plan does not define.",
    Reason.BINDING_INVALID: "A binding directory lacks a file, or a file cannot be read.",
    Reason.RULES_CHANGED: "The rules in the database are newer than the plan's; the next run has the new plan.",
    Reason.CLOCK_SKEW: "The clocks of run, database and operator differ by over a minute; set them right.",
    Reason.CLOCK_JUMPED: "By the clock nobody was here for over a week, or it went back; approve if it is right.",
    Reason.RUN_IN_PROGRESS: "Another run is at work on the same database; this one left it alone.",
    Reason.PARTITIONS_MISSING: "A table lacks partitions that the run needs; the operator makes them.",
    Reason.NO_PROGRESS: "A batch deleted nothing although something was due; the next run tries again.",
    Reason.INTERRUPTED: "The run was asked to stop; the next one goes on where it stopped.",
    Reason.LOCK_TIMEOUT: "A month was locked by somebody else for too long; the next run tries again.",
    Reason.DEADLOCK: "The database ended a batch in favour of another session; the next run tries again.",
    Reason.RUN_NOT_OPEN: "The run has ended meanwhile; the next one goes on.",
    Reason.STEP_NOT_ALLOWED: "The database refused a step that its rules do not allow; nothing was deleted by it.",
    Reason.UNKNOWN_TABLE: "The run named a table that the rules do not have; the next run has the new plan.",
    Reason.UNKNOWN_PARTITION: "The run named a month that is gone; the next run looks again.",
    Reason.UNFORESEEN: "An error nobody foresaw; the log of the job or operator names the place. Please report it.",
    Reason.YOUNGER_THAN_MINIMUM: "A DELETE or TRUNCATE would take rows below their min (M8); nothing was deleted.",
    Reason.HELD: "A DELETE or TRUNCATE would take rows under a legal hold; nothing was deleted.",
    Reason.WRITTEN_ONCE: "Birth, clock and session of a row are set once and never changed (X8).",
    Reason.EVIDENCE_APPEND_ONLY: "Evidence is never changed or removed (X6).",
    Reason.ISOLATION_LEVEL: "A deletion in a transaction that is not READ COMMITTED might not see a new hold; nothing was deleted.",
    Reason.DRIFT_REPAIRED: "Something was deleted or changed by hand and has been put right.",
    Reason.UNAVAILABLE: "Something needed does not answer; the operator tries again.",
}
"""What a reason means and what to do."""

SUMMARY_TYPES = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
