-- The control tables of anonymization, after those of control.sql.

-- Anonymization of a run, as its deletion: what is due, what the guard holds back, what was done, and what waited.
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS anonymize_through timestamptz,
    ADD COLUMN IF NOT EXISTS anonymize_previous timestamptz, ADD COLUMN IF NOT EXISTS anonymize_due bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS anonymize_surplus bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS anonymize_held bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS anonymize_waiting bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS anonymized bigint NOT NULL DEFAULT 0;
ALTER TABLE retention.executed_rule ADD COLUMN IF NOT EXISTS anonymize_after text,
    ADD COLUMN IF NOT EXISTS anonymize_methods text;
CREATE TABLE IF NOT EXISTS retention.run_anonymize (
    run_id uuid NOT NULL,
    category text NOT NULL,
    table_name text NOT NULL,
    partition text NOT NULL,
    due bigint NOT NULL,
    previously_due bigint NOT NULL,
    held bigint NOT NULL,
    PRIMARY KEY (run_id, table_name, partition)
);

-- Months in which no row told of a person any more when they were looked at, by these methods (proven_at NULL: not yet), and
-- writes to them since: one entry is enough to have the month looked at again.
CREATE TABLE IF NOT EXISTS retention.anonymized_month (
    partition text PRIMARY KEY,
    table_name text NOT NULL,
    relation oid NOT NULL,
    methods text NOT NULL,
    proven_at timestamptz
);
CREATE TABLE IF NOT EXISTS retention.month_write (partition text NOT NULL);
CREATE INDEX IF NOT EXISTS month_write_of_month ON retention.month_write (partition);

-- Months of which a copy is being made, and how far it is.
CREATE TABLE IF NOT EXISTS retention.rewrite (
    partition text PRIMARY KEY,
    table_name text NOT NULL,
    category text NOT NULL,
    copy text NOT NULL,
    run_id uuid NOT NULL,
    relation oid NOT NULL,
    filenode oid NOT NULL,
    blocks bigint NOT NULL,
    due bigint NOT NULL,
    copied_through bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    indexed boolean NOT NULL DEFAULT false
);

-- The key of method Hash as the two pads of HMAC-SHA-256; nobody but the owner may read it. One row, or none.
CREATE TABLE IF NOT EXISTS retention.anonymization_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    inner_pad bytea NOT NULL CHECK (octet_length(inner_pad) = 64),
    outer_pad bytea NOT NULL CHECK (octet_length(outer_pad) = 64),
    made_at timestamptz NOT NULL DEFAULT now()
);

-- Fingerprints of keys that were destroyed here: none of them comes back from another database of the policy.
CREATE TABLE IF NOT EXISTS retention.destroyed_key (
    fingerprint text PRIMARY KEY,
    destroyed_at timestamptz NOT NULL DEFAULT now()
);
