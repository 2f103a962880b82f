-- What the nightly look for orphans remembers between two nights.

-- How far the look for orphans came: objects without a row by bucket, rows without their object by category, and ended
-- uploads by bucket (retention.orphan_subject). found and looked_at: of the pass under way; last_...: of the last one that
-- came to its end. The place may hold an object's key.
CREATE TABLE IF NOT EXISTS retention.orphan_pass (
    kind text NOT NULL,
    name text NOT NULL,
    goes_on_at jsonb,
    looked_at bigint NOT NULL DEFAULT 0,
    found bigint NOT NULL DEFAULT 0,
    last_looked_at bigint,
    last_found bigint,
    last_finished_at timestamptz,
    PRIMARY KEY (kind, name)
);
-- Of an earlier version, which knew two kinds.
ALTER TABLE retention.orphan_pass DROP CONSTRAINT IF EXISTS orphan_pass_kind_check;
-- overdue: of the objects those that no category could still keep; the oldest of them was modified at oldest_overdue.
ALTER TABLE retention.orphan_pass ADD COLUMN IF NOT EXISTS overdue bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS oldest_overdue timestamptz, ADD COLUMN IF NOT EXISTS last_overdue bigint,
    ADD COLUMN IF NOT EXISTS last_oldest_overdue timestamptz;
