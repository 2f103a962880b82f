-- What persons asked for (T7, M9, P12 to P14). Nothing here says who. identifiers: digests under a salt of the request's own, by
-- which the enforcer's word on whom it is about is checked; gone once all is found, since few numbers are soon tried out.
-- searched_by: the run that looks for the rows; found_at: since when request_row has all of them.
CREATE TABLE IF NOT EXISTS retention.request (
    request_id uuid PRIMARY KEY,
    name text NOT NULL,
    actions text[] NOT NULL CHECK (actions <> '{}' AND actions <@ ARRAY['Anonymize', 'DeleteContent', 'Erase']),
    received_at timestamptz NOT NULL,
    salt bytea NOT NULL CHECK (octet_length(salt) >= 16),
    identifiers bytea[] NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    searched_by uuid,
    found_at timestamptz
);

-- How far a run's search is in a table, for all people that it looks for: first for their own rows, then for those of their sessions.
CREATE TABLE IF NOT EXISTS retention.request_search (
    run_id uuid NOT NULL,
    table_name text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('Own', 'Session')),
    reached timestamptz NOT NULL DEFAULT '-infinity',
    ended boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_id, table_name, stage)
);

-- The sessions that the person took part in: by them content is found also after the record lost the identity, so they are kept
-- while there is any. goes: the person's own row there goes as a whole.
CREATE TABLE IF NOT EXISTS retention.request_session (
    request_id uuid NOT NULL REFERENCES retention.request ON DELETE CASCADE,
    family text NOT NULL,
    session text NOT NULL,
    born_at timestamptz NOT NULL,
    goes boolean NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS request_session_once ON retention.request_session (request_id, family, md5(session), born_at);

-- What is left to do, row by row: an entry goes in the transaction that does it. persons: whose columns are cleared, by the
-- profile's names ('': whoever the row is about). failed_in: the run in which the row would not be written.
CREATE TABLE IF NOT EXISTS retention.request_row (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id uuid NOT NULL REFERENCES retention.request ON DELETE CASCADE,
    category text NOT NULL,
    table_name text NOT NULL,
    born_at timestamptz NOT NULL,
    row_key jsonb NOT NULL,
    act text NOT NULL CHECK (act IN ('Delete', 'Clear')),
    persons text[] NOT NULL,
    failed_in uuid
);
CREATE UNIQUE INDEX IF NOT EXISTS request_row_once ON retention.request_row (table_name, born_at, md5(row_key::text), request_id, act);
CREATE INDEX IF NOT EXISTS request_row_of_category ON retention.request_row (category, table_name, act);

-- requests_only: the run carries out requests and removes nothing by age.
ALTER TABLE retention.run ADD COLUMN IF NOT EXISTS requests_only boolean NOT NULL DEFAULT false;
-- By request: rows that went, and rows that lost the person.
ALTER TABLE retention.run_category ADD COLUMN IF NOT EXISTS request_deleted bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS request_cleared bigint NOT NULL DEFAULT 0;
