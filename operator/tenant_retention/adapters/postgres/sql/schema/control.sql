-- The control tables of a tenant database. Run under SET ROLE owner; each statement may run again and again.
-- format 1. A later format adds statements below (additive); retention.settings.format says what a database has.

CREATE SCHEMA IF NOT EXISTS retention;

-- What the operator wrote last: the rules by which every function decides. One row.
CREATE TABLE IF NOT EXISTS retention.settings (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    format integer NOT NULL,
    purpose text NOT NULL,
    definition jsonb NOT NULL,
    rules_digest text NOT NULL,
    policy_generation bigint NOT NULL,
    profile_generation bigint NOT NULL,
    margin_seconds bigint NOT NULL,
    guard_percent integer NOT NULL,
    mode text NOT NULL CHECK (mode IN ('Enforce', 'DryRun')),
    suspended boolean NOT NULL
);

-- A category that left the profile stays here inactive: the schedule leaves it alone, its guards hold on.
CREATE TABLE IF NOT EXISTS retention.category (
    name text PRIMARY KEY,
    position integer NOT NULL,
    active boolean NOT NULL,
    state text NOT NULL,
    content_of text,
    minimum text,
    keep text,
    maximum text,
    early_deletion boolean NOT NULL,
    clock_event text NOT NULL,
    clock_column text,
    tables text[] NOT NULL,
    object_table text,
    key_column text,
    version_column text
);

CREATE TABLE IF NOT EXISTS retention.managed_table (
    name text PRIMARY KEY,
    category text NOT NULL,
    position integer NOT NULL,
    active boolean NOT NULL,
    primary_key text[] NOT NULL,
    born_at text NOT NULL,
    back text NOT NULL,
    ahead text NOT NULL,
    clock_columns text[] NOT NULL,
    session_column text,
    unit_column text
);

-- Legal holds: a row is held if every selector that is not NULL matches it, or a row of its session's record or content.
CREATE TABLE IF NOT EXISTS retention.hold (
    hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category text,
    session text,
    unit text,
    born_from timestamptz,
    born_to timestamptz,
    reference text,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);

CREATE TABLE IF NOT EXISTS retention.approval (
    rules_digest text PRIMARY KEY,
    max_rows bigint NOT NULL,
    until timestamptz NOT NULL,
    run_name text NOT NULL
);

-- The rules under which a category was last wholly worked through: what the guard compares with.
CREATE TABLE IF NOT EXISTS retention.executed_rule (
    category text PRIMARY KEY,
    rules_digest text NOT NULL,
    minimum text,
    keep text,
    maximum text,
    margin_seconds bigint NOT NULL,
    clock_event text NOT NULL,
    clock_column text,
    tables text[] NOT NULL,
    executed_at timestamptz NOT NULL
);

-- When the operator was last here, by its own clock, and by how much the database's was ahead then. One row.
CREATE TABLE IF NOT EXISTS retention.operator_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seen_at timestamptz NOT NULL,
    skew_seconds double precision NOT NULL
);

CREATE TABLE IF NOT EXISTS retention.run (
    run_id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    mode text NOT NULL,
    rules_digest text NOT NULL,
    policy_generation bigint NOT NULL,
    clock timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    backend_pid integer NOT NULL,
    login name NOT NULL
);

CREATE TABLE IF NOT EXISTS retention.run_category (
    run_id uuid NOT NULL REFERENCES retention.run,
    category text NOT NULL,
    position integer NOT NULL,
    remove_through timestamptz,
    previous_through timestamptz,
    total bigint NOT NULL,
    candidates bigint NOT NULL,
    surplus bigint NOT NULL,
    held bigint NOT NULL,
    overdue bigint NOT NULL,
    anomalies bigint NOT NULL,
    oldest timestamptz,
    guard text NOT NULL,
    begun boolean NOT NULL DEFAULT false,
    acted bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    failure_reasons text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, category)
);

-- after_run: the number of the last run before the approval was given. approved: the surplus that an approval let through.
ALTER TABLE retention.approval ADD COLUMN IF NOT EXISTS after_run bigint NOT NULL DEFAULT 0;
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS approved bigint NOT NULL DEFAULT 0;

-- Bought storage (T5): keep and max until extended_until (null: no end).
ALTER TABLE retention.category ADD COLUMN IF NOT EXISTS extended_keep text,
    ADD COLUMN IF NOT EXISTS extended_maximum text, ADD COLUMN IF NOT EXISTS extended_until timestamptz;
ALTER TABLE retention.executed_rule ADD COLUMN IF NOT EXISTS extended_keep text,
    ADD COLUMN IF NOT EXISTS extended_maximum text, ADD COLUMN IF NOT EXISTS extended_until timestamptz;

-- Files below a prefix that go by their last modification.
ALTER TABLE retention.category ADD COLUMN IF NOT EXISTS file_prefix text;
ALTER TABLE retention.executed_rule ADD COLUMN IF NOT EXISTS file_prefix text;

-- What a run does to a category's files; total is null until the run has counted them. claimed: let go; acted: proven gone.
CREATE TABLE IF NOT EXISTS retention.run_files (
    run_id uuid NOT NULL REFERENCES retention.run,
    category text NOT NULL,
    prefix text NOT NULL,
    remove_through timestamptz,
    previous_through timestamptz,
    overdue_through timestamptz,
    held_from timestamptz,
    total bigint,
    candidates bigint NOT NULL DEFAULT 0,
    surplus bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    overdue bigint NOT NULL DEFAULT 0,
    anomalies bigint NOT NULL DEFAULT 0,
    oldest timestamptz,
    guard text NOT NULL DEFAULT 'Clear',
    approved bigint NOT NULL DEFAULT 0,
    claimed bigint NOT NULL DEFAULT 0,
    acted bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    residue bigint,
    total_left bigint,
    oldest_left timestamptz,
    PRIMARY KEY (run_id, category)
);

-- The files that a run saw last below a prefix, counted by spans of their last modification.
CREATE TABLE IF NOT EXISTS retention.file_inventory (
    prefix text PRIMARY KEY,
    category text NOT NULL,
    measured_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS retention.file_span (
    prefix text NOT NULL,
    oldest timestamptz NOT NULL,
    newest timestamptz NOT NULL,
    files bigint NOT NULL,
    PRIMARY KEY (prefix, oldest)
);

-- The counts from which a run's steps follow; removed when the run ends.
CREATE TABLE IF NOT EXISTS retention.run_partition (
    run_id uuid NOT NULL,
    category text NOT NULL,
    table_name text NOT NULL,
    partition text NOT NULL,
    born_from timestamptz NOT NULL,
    born_to timestamptz NOT NULL,
    total bigint NOT NULL,
    due bigint NOT NULL,
    previously_due bigint NOT NULL,
    held bigint NOT NULL,
    PRIMARY KEY (run_id, table_name, partition)
);

-- Objects on their way out: the row stays until the object is proven gone.
CREATE TABLE IF NOT EXISTS retention.claim (
    claim_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    category text NOT NULL,
    table_name text NOT NULL,
    born_at timestamptz NOT NULL,
    row_key jsonb NOT NULL,
    object_key text NOT NULL,
    object_version text,
    state text NOT NULL DEFAULT 'Claimed' CHECK (state IN ('Claimed', 'Failed', 'HeldAfterRemoval')),
    error text
);
-- By digest: a key that just fits its own table's index would not fit beside the other columns, and end every night's claims.
CREATE UNIQUE INDEX IF NOT EXISTS claim_of_row ON retention.claim (table_name, born_at, md5(row_key::text));
-- Of an earlier version:
ALTER TABLE retention.claim DROP CONSTRAINT IF EXISTS claim_table_name_born_at_row_key_key;

CREATE INDEX IF NOT EXISTS claim_of_run ON retention.claim (category, run_id);

-- What the bucket keeps by object lock, by the digest of key and version. locked_until is NULL until the bucket was heard.
CREATE TABLE IF NOT EXISTS retention.object_lock (
    lock_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category text NOT NULL,
    object bytea NOT NULL,
    asked_until timestamptz NOT NULL,
    locked_until timestamptz,
    failed_in uuid,
    UNIQUE (category, object)
);
-- locked: objects that this run locked. locked_out: due rows whose objects the bucket keeps longer than today's rules do.
-- objects: of the acted rows those whose object went with them.
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS locked bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS locked_out bigint NOT NULL DEFAULT 0, ADD COLUMN IF NOT EXISTS objects bigint NOT NULL DEFAULT 0;
-- claimed_through: the clock up to which this run looked for objects to claim.
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS claimed_through timestamptz;
-- Each row looks for holds on its session: one probe, however many there are.
CREATE INDEX IF NOT EXISTS live_hold_of_session ON retention.hold (session) WHERE released_at IS NULL;

-- limited_to: the only categories that the run looked at; null: all of them, as every night does.
ALTER TABLE retention.run ADD COLUMN IF NOT EXISTS limited_to text[];

-- caches: what the run did to the keys of cached categories; null: nothing was cached.
ALTER TABLE retention.run ADD COLUMN IF NOT EXISTS caches jsonb;

-- Months that are detached and not yet dropped: still counted, dropped or attached back by the next step.
CREATE TABLE IF NOT EXISTS retention.detached_partition (
    partition text PRIMARY KEY,
    table_name text NOT NULL,
    category text NOT NULL,
    born_from timestamptz NOT NULL,
    born_to timestamptz NOT NULL,
    rows bigint NOT NULL,
    run_id uuid NOT NULL,
    detached_at timestamptz NOT NULL
);

-- modified_at: a file's last modification before it was locked. A store may call the locking one (SeaweedFS 4.48).
ALTER TABLE retention.object_lock ADD COLUMN IF NOT EXISTS modified_at timestamptz;

CREATE TABLE IF NOT EXISTS retention.anomaly (
    category text PRIMARY KEY,
    first_seen timestamptz NOT NULL
);

-- The hash chain: digest = sha256 over the previous digest, a line feed and the body. No personal data.
CREATE TABLE IF NOT EXISTS retention.evidence (
    sequence bigint PRIMARY KEY,
    run_id uuid NOT NULL UNIQUE,
    body text NOT NULL,
    previous_digest text NOT NULL,
    digest text NOT NULL
);

-- What was installed, to see what somebody changed by hand.
CREATE TABLE IF NOT EXISTS retention.component (
    name text PRIMARY KEY,
    source_digest text NOT NULL
);

CREATE TABLE IF NOT EXISTS retention.installed_function (
    signature text PRIMARY KEY,
    digest text NOT NULL
);

-- name: of the LegalHold that placed it; null: placed by hand.
ALTER TABLE retention.hold ADD COLUMN IF NOT EXISTS name text;
