-- The control tables of the archive, after those of control.sql.

-- Rows that a run moves to the archive. archive_due: null without such a rule. archive_waiting: due rows that wait for content;
-- archive_counted: where those were counted last, as a call whose answer was lost is made again.
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS archive_due bigint,
    ADD COLUMN IF NOT EXISTS archived bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS archive_waiting bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS archive_counted text;

-- Births that do not move before an instant: somebody had them brought back from the archive.
CREATE TABLE IF NOT EXISTS retention.archive_pause (
    category text NOT NULL,
    born_from timestamptz NOT NULL,
    born_to timestamptz NOT NULL,
    until timestamptz NOT NULL
);
