"""What conditions and reasons mean, and what to do: the text of the reference pages and of ``kubectl explain``."""

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason

CONDITION_TEXT: dict[ConditionType, str] = {
    ConditionType.READY: "Stores, schedules and rules are as the spec of this generation asks.",
    ConditionType.RECONCILING: "The operator is still working towards the spec; waiting helps.",
    ConditionType.STALLED: "The user must change something; the last good rules stay enforced inside today's bounds.",
    ConditionType.DATABASES_READY: "All databases answer and hold the wanted tables, roles, guards and rules.",
    ConditionType.BUCKETS_READY: "All buckets answer and hold the wanted settings and identities.",
    ConditionType.CACHES_READY: "The cache answers and has the wanted users; absent without a cache.",
    ConditionType.SCHEDULES_READY: "The CronJobs are as wanted.",
    ConditionType.ISOLATION_VERIFIED: "Each role of this policy was tried elsewhere and refused.",
    ConditionType.ENCRYPTION_VERIFIED: (
        "Every role reached its database or bucket by verified TLS, none got in without it, and what lies there is encrypted (T8)."
    ),
    ConditionType.STORES_HEALTHY: "What was measured of every database and bucket is within its class's limits (D6, D7); never acted on.",
    ConditionType.COMPLIANT: "No deletion debt, the last run came in time, and every category is enforced.",
    ConditionType.DEBT_FORESEEN: (
        "Deletion debt begins within a week, or has begun, because something keeps runs from deleting (X4)."
    ),
    ConditionType.APPROVAL_REQUIRED: "The guard stopped a run; a RetentionRun with `approves` lets it through.",
    ConditionType.UNCOVERED: "A database has tables or columns that the profile does not know; absent where it knows all (M11).",
    ConditionType.BACKUPS_CURRENT: "The newest backup is as young as the databases' class asks; absent without backups (T6).",
    ConditionType.DEADLINE_NEAR: (
        "A DataSubjectRequest has something left that could be done, and two thirds of its time are over; absent otherwise (T7)."
    ),
    ConditionType.EXTENDED_STORAGE_ENDING: "Bought storage ends within 30 days; absent where nothing bought has an end.",
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
    Reason.EXTENDED_STORAGE_KEPT: "No bought storage ends within 30 days.",
    Reason.NOT_REQUIRED: "The guard asks for nothing.",
    Reason.PROVISIONING: "Stores, roles or tables are being made.",
    Reason.WAITING_FOR_PROFILE: "The profile does not exist yet; after 5 minutes this becomes ProfileNotFound.",
    Reason.WAITING_FOR_CLASS: "The class does not exist yet; after 5 minutes this becomes ClassNotFound.",
    Reason.WAITING_FOR_CLOUD_NATIVE_PG: (
        "The cluster has no kind Cluster of CloudNativePG yet; after 5 minutes this becomes CloudNativePGMissing."
    ),
    Reason.WAITING_FOR_VOLUME: "The volume of an embedded server is not bound yet.",
    Reason.WAITING_FOR_SERVER: "An embedded server or a Cluster of CloudNativePG is starting, or changes its primary.",
    Reason.NOT_YET_VERIFIED: "The probe has not run yet.",
    Reason.NO_RUN_YET: "No run has ended yet.",
    Reason.PENDING: "Not begun yet.",
    Reason.RUNNING: "The Job runs.",
    Reason.POD_PENDING: "A Job has had no running pod for over two minutes; the message says why, or where to look.",
    Reason.PROFILE_NOT_FOUND: "Create the RetentionProfile that `spec.profileRef.name` names.",
    Reason.PROFILE_NOT_ALLOWED: "The profile's `allowedNamespaces` does not select the namespace.",
    Reason.PROFILE_INVALID: "The profile contradicts itself; the message names the field.",
    Reason.CATEGORY_UNKNOWN: "`spec.retention` names a category that the profile does not have.",
    Reason.KEEP_OUT_OF_BOUNDS: "A keep is shorter than min or longer than max; the message names category and bound.",
    Reason.CONTENT_OUTLIVES_RECORD: "Content would be kept longer than its record, or than that has its names (P4, X1).",
    Reason.ANONYMIZE_OUT_OF_BOUNDS: (
        "An anonymizeAfter is shorter than min or longer than keep, or no column has a method; the message names which."
    ),
    Reason.ARCHIVE_OUT_OF_BOUNDS: (
        "An archiveAfter is shorter than min or not shorter than keep, or the category is not archived; the message names which."
    ),
    Reason.SPEC_INVALID: "A field is not as the API says; the message names it.",
    Reason.INVALID_DURATION: "A period is not one number and one unit, or a window does not fit a day.",
    Reason.INVALID_NAME: "A name is not a DNS label, or too long.",
    Reason.TIME_ZONE_UNKNOWN: "`spec.timeZone` is not an IANA time zone.",
    Reason.NAMESPACE_NOT_SERVED: "The namespace lacks the label `tenantretention.io/tenant=true`; the message has the command.",
    Reason.NAMESPACE_TERMINATING: "The namespace is being deleted; nothing is made in it any more.",
    Reason.CLASS_NOT_FOUND: "Create the DataStoreClass that `spec.stores[].className` names.",
    Reason.CLOUD_NATIVE_PG_MISSING: "Install CloudNativePG, or name a class of another provisioner; stores that are there stay.",
    Reason.CLASS_NOT_ALLOWED: "The class's `allowedNamespaces` does not select the namespace.",
    Reason.CLASS_LIMIT_EXCEEDED: "The namespace has as many stores, or asks for as much storage, as the class allows.",
    Reason.CLASS_INVALID: "The class contradicts itself; the message names the field.",
    Reason.COPIES_OUTLIVE_BOUNDS: (
        "Backups that a Cluster's owner has CloudNativePG make are kept too long, or never removed; the message names object, field "
        "and step (T6)."
    ),
    Reason.NO_DEFAULT_CLASS: "No class of that type is the default, or several are; make one the default, or name one in "
    "`spec.stores[].className`.",
    Reason.SECRET_NOT_FOUND: (
        "A Secret that the class names is not in the operator's namespace, or one that a request or a hold names not in its own."
    ),
    Reason.SECRET_INVALID: "A Secret that the class names lacks a key.",
    Reason.SECRET_NOT_USABLE: (
        "The Secret that a request or a hold names can change, or is not its own; the message says which. Nothing was done."
    ),
    Reason.SUBJECT_UNKNOWN: "A run sought somebody of whom the operator did not tell the database. Nothing was done.",
    Reason.SUBJECT_INVALID: "What names a person is no identifier, or may mean anybody; the message has key and line. Nothing was done.",
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
    Reason.ENCRYPTION_MISSING: "Data can travel or lies in the clear (T8); the message says where and what to change.",
    Reason.AT_REST_UNKNOWN: (
        "No SQL can see whether a database server encrypts what it stores; declare it in the class (`encryptionAtRest`)."
    ),
    Reason.WITHIN_LIMITS: "Every figure that was measured is within the limits of the store's class.",
    Reason.NOT_YET_MEASURED: "A store was not measured yet, or not for half an hour.",
    Reason.LIMIT_EXCEEDED: "A store's figure is over the limit of its class; the message has both, and what its owner has to do.",
    Reason.CONNECTIONS_EXHAUSTED: "The server has no connection left: raise max_connections, or let applications pool theirs.",
    Reason.SETTING_NOT_KEPT: "A bucket or database setting was accepted but read back differently.",
    Reason.EXTENDED_STORAGE_ENDS: "Bought storage ends within 30 days; the first run after it deletes what it alone kept.",
    Reason.GUARD_STOPPED: "More would be newly deleted than `spec.guard.maxDeletedPercent` lets pass.",
    Reason.DELETION_DEBT: "Data is past its deadline and still there.",
    Reason.DEBT_FORESEEN: "Deadlines within a week, or past, that no run will keep; the message says which, why, and the next step.",
    Reason.NOT_FORESEEN: "No deadline of the next week is in danger.",
    Reason.EVIDENCE_BROKEN: "A link of the evidence chain was changed or removed; keep a copy of `retention.evidence`, find the writer.",
    Reason.ANOMALIES_TOO_OLD: "Items without a usable time were first seen longer than max ago (X8).",
    Reason.CATEGORIES_NOT_ENFORCED: (
        "No run deletes from some categories: this version does not act on their clock, or they left the profile with data."
    ),
    Reason.RUN_MISSED: "A run did not come; the operator started it.",
    Reason.RUN_REPEATED: "A run failed, and every store answers now; the operator started it again.",
    Reason.RUN_FAILED: "The last run failed; the message says what to do.",
    Reason.RUN_SUCCEEDED: "The run ended well.",
    Reason.ORPHANS_FOUND: "Objects that no row names, or rows whose object is missing; counted, never deleted.",
    Reason.INVALID_PLAN: "The plan document is not as it must be; the message names the file and the field.",
    Reason.UNKNOWN_CATEGORY: "The run is limited to a category that its plan does not define.",
    Reason.BINDING_INVALID: "A binding directory lacks a file, or a file cannot be read.",
    Reason.RULES_CHANGED: "The rules in the database are newer than the plan's; the next run has the new plan.",
    Reason.CLOCK_SKEW: "The clocks of run, database and operator differ by over a minute; set them right.",
    Reason.CLOCK_JUMPED: "By the clock nobody was here for over a week, or it went back; approve if it is right.",
    Reason.RUN_IN_PROGRESS: "Another run is at work on the same database; this one left it alone.",
    Reason.PARTITIONS_MISSING: "A table lacks partitions that the run needs; the operator makes them.",
    Reason.NO_PROGRESS: "A batch deleted nothing although something was due; the next run tries again.",
    Reason.SHARED_BUCKET: "Another database keeps objects in the bucket and cannot be asked; content waits for the next run.",
    Reason.BACKUP_KEY_WRONG: "The key is not the one that sealed this tenant's backups; put that one back, or they cannot be read.",
    Reason.BACKUP_BROKEN: "A file of a backup is missing, was changed, or does not open by this key.",
    Reason.BACKUPS_LEFT: "Files of old backups could not be removed; the next run tries again.",
    Reason.MONTH_CHANGED: "A month was rewritten or dropped while a backup read it; the backup begins again.",
    Reason.RESTORE_REFUSED: "A backup cannot be restored there; the message says why, and nothing was changed.",
    Reason.RESTORE_INCOMPLETE: "A backup is loaded, but something past its time could not go yet; the databases stay closed.",
    Reason.RESTORE_UNDER_WAY: "A backup is being restored into the database; no other run deletes there until it is open again.",
    Reason.UPLOADS_LEFT: "Unfinished uploads could not be ended; the next run tries again.",
    Reason.ARCHIVE_NOT_READY: "The archive was not in the run: rows past archiveAfter stay where they are until the next one.",
    Reason.ARCHIVE_CONFLICT: (
        "Rows stay in both places: the archive has others with their keys, because the application wrote a key again, or "
        "could not take them."
    ),
    Reason.NOT_AN_ARCHIVE: "Rows were to be archived in a database that is no archive, or of a category without archiveAfter.",
    Reason.YOUNGER_THAN_ARCHIVE_AFTER: "Rows were to be archived before their archiveAfter; the archive took none of them.",
    Reason.ARCHIVE_FILE_BROKEN: "A file of the archive is not what was written; nothing of it is believed, no row is deleted for it.",
    Reason.FILE_TOO_LARGE: "The rows of one file take over 48 MiB; fewer go into it next.",
    Reason.NOT_ARCHIVABLE: "A row has no place in a file (over 4 MiB, or not of its column's type); it stays in its database.",
    Reason.ROWS_CHANGED: "Rows were written again and again while they were archived; they stay, and the next run tries again.",
    Reason.FILES_LEFT: "Files of the archive could not be deleted, as when somebody locked one; the next run tries again.",
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
    Reason.RECORD_HAS_NONE: "A row of a session whose record is of a kind that has none there (`onlyWith`, P5); nothing was stored.",
    Reason.OUTSIDE_RANGE: "A number outside the range of its column (P6); nothing was stored.",
    Reason.CONSENT_REFUSED: "Content of a session whose record denies it, or did not accept forced recording (P10); nothing was stored.",
    Reason.DIGITS_UNMASKED: "Digits in a masked column (P11): a write is refused; of rows that have them the next run blanks them.",
    Reason.NOT_IN_PROFILE: "Somebody made tables or columns that the profile does not know; they are told by name, never touched.",
    Reason.CONTENT_AGAINST_CONSENT: "The last run found content without consent (P10); the next one takes it away.",
    Reason.MEDIA_UNAPPROVED: "The last run found media whose time for an approval is over (M7); the next one takes it away.",
    Reason.BACKED_UP: "The newest whole backup is as young as the class asks.",
    Reason.BACKUPS_WAITING: "No backup yet: the first one is made half an hour after a run by the rules of now.",
    Reason.BACKUPS_MISSING: "The newest whole backup is older than the class asks; see the CronJob and the Jobs of task backup.",
    Reason.BACKUP_FAILED: "The last backup Job failed; the message has its words, and how old the last good backup is.",
    Reason.BACKUP_KEY_LOST: "The Secret with the backups' key is gone or broken; put it back. No other key is made on its own.",
    Reason.HOLD_PLACED: "The hold is in force in every database of its policies.",
    Reason.HOLD_RELEASED: "No database has the hold any more; the next run applies the normal rules.",
    Reason.REQUEST_DONE: "Nothing is left of the request in any database.",
    Reason.REQUEST_WAITING: "Every row is found; what is left is held, below its minimum, or goes with the next nights.",
    Reason.REQUEST_DUE: "A request is open after two thirds of its time, and nothing but work keeps it so.",
    Reason.REQUEST_OVERDUE: "A request is past its deadline, and something is left that neither a hold nor a minimum keeps.",
    Reason.DRIFT_REPAIRED: "Something was deleted or changed by hand and has been put right.",
    Reason.UNAVAILABLE: "Something needed does not answer; the operator tries again.",
}
"""What a reason means and what to do."""
