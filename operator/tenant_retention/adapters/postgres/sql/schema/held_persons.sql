-- A hold on a person (X3): salt, and person: the digest of one form of a number, address, identity or staff id under it, as
-- retention.person_digests makes it of what is in a column. null: whoever. They are there for as long as the hold is in force,
-- since rows that are written meanwhile are looked at too.
ALTER TABLE retention.hold ADD COLUMN IF NOT EXISTS salt bytea CHECK (octet_length(salt) >= 16),
    ADD COLUMN IF NOT EXISTS person bytea CHECK ((person IS NULL) = (salt IS NULL));
CREATE INDEX IF NOT EXISTS live_hold_of_person ON retention.hold (person) WHERE released_at IS NULL AND person IS NOT NULL;
