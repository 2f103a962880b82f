"""Every Event that the operator writes; the reference in docs/ is generated from it."""

from dataclasses import dataclass

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.reason_groups import REASON_GROUPS


@dataclass(frozen=True)
class EventText:
    """Events that are written, for the reference: about which kind, with which reasons and types, and when."""

    on: str
    reasons: tuple[Reason, ...]
    type: str
    when: str


_POLICY, _RUN, _HOLD, _STORE = "TenantRetentionPolicy", "RetentionRun", "LegalHold", "DataStore"
_REQUEST = "DataSubjectRequest"
EVENTS: tuple[EventText, ...] = (
    EventText(_POLICY, (Reason.ENFORCING, Reason.DRY_RUN, Reason.SUSPENDED), "Normal", "`Ready` became True."),
    EventText(
        _POLICY,
        REASON_GROUPS["Under way: waiting helps"],
        "Normal",
        "`Ready` became False while `Reconciling` is True: something is coming up.",
    ),
    EventText(
        _POLICY,
        (
            *REASON_GROUPS["Something must be changed: retrying does not help"],
            *REASON_GROUPS["A store's server does not do what it must"],
        ),
        "Warning",
        "`Ready` became False or `Stalled` became True; the message names field and next step. "
        "A server that does not answer is Normal while it is waited for.",
    ),
    EventText(_POLICY, (Reason.VERIFIED,), "Normal", "`IsolationVerified` became True."),
    EventText(_POLICY, (Reason.ISOLATION_BROKEN,), "Warning", "`IsolationVerified` became False."),
    EventText(_POLICY, (Reason.VERIFIED,), "Normal", "`EncryptionVerified` became True."),
    EventText(_POLICY, (Reason.ENCRYPTION_MISSING,), "Warning", "`EncryptionVerified` became False."),
    EventText(_POLICY, (Reason.WITHIN_LIMITS,), "Normal", "`StoresHealthy` became True."),
    EventText(_POLICY, (Reason.LIMIT_EXCEEDED,), "Warning", "`StoresHealthy` became False."),
    EventText(_POLICY, (Reason.COMPLIANT,), "Normal", "`Compliant` became True."),
    EventText(
        _POLICY,
        (
            Reason.DELETION_DEBT,
            Reason.EVIDENCE_BROKEN,
            Reason.ANOMALIES_TOO_OLD,
            Reason.CATEGORIES_NOT_ENFORCED,
            Reason.POD_PENDING,
        ),
        "Warning",
        "`Compliant` became False; or a category, table or column left the profile and stays with its data.",
    ),
    EventText(
        _POLICY,
        (Reason.DEBT_FORESEEN,),
        "Warning",
        "`DebtForeseen` became True: a deadline within a week that no run will keep.",
    ),
    EventText(
        _POLICY, (Reason.GUARD_STOPPED,), "Warning", "`ApprovalRequired` became True, or a run ended with a surplus."
    ),
    EventText(
        _POLICY,
        (Reason.EXTENDED_STORAGE_ENDS,),
        "Warning",
        "`ExtendedStorageEnding` became True: 30 days before the end.",
    ),
    EventText(
        _POLICY,
        (Reason.NOT_IN_PROFILE,),
        "Warning",
        "`Uncovered` became True: tables or columns that the profile does not know.",
    ),
    EventText(_POLICY, (Reason.RUN_SUCCEEDED,), "Normal", "A run ended well; with its run id and counts."),
    EventText(
        _POLICY,
        (Reason.RUN_FAILED,),
        "Warning",
        "A run ended with a failure; with its run id and counts, or what is known of its Job.",
    ),
    EventText(_POLICY, (Reason.RUN_MISSED,), "Warning", "A scheduled run did not come; the operator started it."),
    EventText(
        _POLICY,
        (Reason.RUN_REPEATED,),
        "Warning",
        "A scheduled run failed and every store answers again; the operator started it once more.",
    ),
    EventText(
        _POLICY, (Reason.DRIFT_REPAIRED,), "Warning", "An object, a grant or a setting was changed by hand; put right."
    ),
    EventText(
        _POLICY,
        (Reason.ORPHANS_FOUND,),
        "Warning",
        "The nightly look found the first objects without a row, or rows without their object, of a bucket or category.",
    ),
    EventText(_STORE, (Reason.STORE_RELEASED,), "Normal", "The store's policy is gone; its data stays."),
    EventText(_STORE, (Reason.DEBT_FORESEEN,), "Warning", "A deadline within a week in a store that no policy has."),
    EventText(_RUN, (Reason.RUN_SUCCEEDED,), "Normal", "The run ended well."),
    EventText(
        _RUN,
        (
            Reason.RUN_FAILED,
            Reason.GUARD_STOPPED,
            Reason.SUSPENDED,
            Reason.DRY_RUN,
            Reason.POLICY_NOT_FOUND,
            Reason.APPROVAL_EXPIRED,
            Reason.APPROVAL_MISMATCH,
            Reason.NAMESPACE_NOT_SERVED,
            Reason.NAMESPACE_TERMINATING,
            Reason.TIME_ZONE_UNKNOWN,
            Reason.INVALID_DURATION,
            Reason.SPEC_INVALID,
        ),
        "Warning",
        "The run ended otherwise, or could not start; the message says why. What stalls the policy stops its runs too.",
    ),
    EventText(_HOLD, (Reason.HOLD_PLACED, Reason.HOLD_RELEASED), "Normal", "`Ready` became True."),
    EventText(
        _HOLD,
        (
            Reason.PENDING,
            Reason.POLICY_NOT_FOUND,
            Reason.CATEGORY_UNKNOWN,
            Reason.NAMESPACE_NOT_SERVED,
            Reason.NAMESPACE_TERMINATING,
            *REASON_GROUPS["A store's server does not do what it must"],
        ),
        "Warning",
        "`Ready` became False: a database does not have the hold any more, or not yet; the message names it.",
    ),
    EventText(_REQUEST, (Reason.REQUEST_DONE,), "Normal", "`Ready` became True."),
    EventText(
        _REQUEST,
        (Reason.PENDING, Reason.REQUEST_WAITING),
        "Normal",
        "The search began, or ended with something left; the message says what, until when, and on which ground.",
    ),
    EventText(
        _REQUEST,
        (
            Reason.POLICY_NOT_FOUND,
            Reason.SECRET_NOT_FOUND,
            Reason.SECRET_NOT_USABLE,
            Reason.SUBJECT_INVALID,
            Reason.STORE_RELEASED,
            Reason.SUSPENDED,
            Reason.DRY_RUN,
            Reason.RUN_FAILED,
            Reason.POD_PENDING,
            Reason.NAMESPACE_NOT_SERVED,
            Reason.NAMESPACE_TERMINATING,
            *REASON_GROUPS["A store's server does not do what it must"],
        ),
        "Warning",
        "`Ready` is False because of something that must change, or a database that is away; its deadline counts on.",
    ),
    EventText(
        _REQUEST,
        (Reason.REQUEST_DUE, Reason.REQUEST_OVERDUE),
        "Warning",
        "`DeadlineNear` became True, after two thirds of the time; again when the deadline has passed.",
    ),
)
"""Every Event, for the reference; written on transitions only."""
