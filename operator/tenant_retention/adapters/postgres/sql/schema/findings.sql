-- What the nightly scans found where it may not be: content without consent (kind Consent, P10), digits in masked columns (Digits,
-- P11), media whose time for an approval is over (Quarantine, M7). The next
-- run takes it away; until then nobody is surprised. found_by: the number of the run that found it.
CREATE TABLE IF NOT EXISTS retention.finding (
    finding_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    category text NOT NULL,
    table_name text NOT NULL,
    born_at timestamptz NOT NULL,
    row_key jsonb NOT NULL,
    found_by bigint NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS finding_of_row ON retention.finding (table_name, born_at, md5(row_key::text), kind);
CREATE INDEX IF NOT EXISTS finding_of_category ON retention.finding (category, kind);

-- Months whose masked columns were read once and found clean, by the rule that they were read with: the database lets no digits
-- in since.
CREATE TABLE IF NOT EXISTS retention.masked_month (
    table_name text NOT NULL,
    partition text NOT NULL,
    rule text NOT NULL,
    PRIMARY KEY (table_name, partition)
);

-- Since when the database knows a category's rule on consent or quarantine; -infinity: since its first row, or approved since.
CREATE TABLE IF NOT EXISTS retention.scanned_rule (
    category text NOT NULL,
    kind text NOT NULL,
    rule text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (category, kind)
);

-- Of an earlier version, which knew two kinds.
ALTER TABLE retention.finding DROP CONSTRAINT IF EXISTS finding_kind_check;

-- Why an object goes: Age, or Finding.
ALTER TABLE retention.claim ADD COLUMN IF NOT EXISTS cause text NOT NULL DEFAULT 'Age';
-- found_before: findings of earlier runs when this one began. cleared: of them what this run took away or blanked.
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS found_before bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS found_guard text NOT NULL DEFAULT 'Clear', ADD COLUMN IF NOT EXISTS cleared bigint NOT NULL DEFAULT 0;
