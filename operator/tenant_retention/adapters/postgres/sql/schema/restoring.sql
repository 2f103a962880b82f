-- A restore that is under way: while the row is there, applications, readers and backups see no table (i_grants.sql).
CREATE TABLE IF NOT EXISTS retention.restoring (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    backup_id text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now()
);
-- Whether it loads beside rows that were written after the loss.
ALTER TABLE retention.restoring ADD COLUMN IF NOT EXISTS beside boolean NOT NULL DEFAULT false;
-- The only run that may delete meanwhile: its own replay.
ALTER TABLE retention.restoring ADD COLUMN IF NOT EXISTS replay uuid;
-- Its files that are in, each written in the transaction that loads it.
CREATE TABLE IF NOT EXISTS retention.restored_file (number integer PRIMARY KEY);
ALTER TABLE retention.restored_file ADD COLUMN IF NOT EXISTS rows bigint NOT NULL DEFAULT 0;
-- Backups that were restored here, and opened again.
CREATE TABLE IF NOT EXISTS retention.restored (
    backup_id text PRIMARY KEY,
    opened_at timestamptz NOT NULL DEFAULT now()
);
-- Backups that the last look into their bucket found (w_backup_evidence.sql).
CREATE TABLE IF NOT EXISTS retention.known_backup (backup_id text PRIMARY KEY);
