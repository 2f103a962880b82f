-- The index of the files in the archive bucket (D3, T6). A file's name is here before it is stored, and its rows are its own from
-- the transaction on that deletes them in their table.

-- Named: may be stored, has no rows yet. Kept: holds its rows. Leaving: to be deleted; counted until it is proven gone.
-- born_from, born_to: both included, of one UTC day. digest: two sums over the rows, as they were when they were deleted here.
-- sessions, units: which ones it holds, by retention.name_hash: a hold finds its files by them.
CREATE TABLE IF NOT EXISTS retention.archive_file (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    category text NOT NULL,
    table_name text NOT NULL,
    partition text NOT NULL,
    run_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('Named', 'Kept', 'Leaving')),
    born_from timestamptz NOT NULL,
    born_to timestamptz NOT NULL,
    columns jsonb NOT NULL,
    rows bigint NOT NULL DEFAULT 0,
    sha256 text,
    digest bigint[],
    identified boolean NOT NULL DEFAULT false,
    sessions integer[] NOT NULL DEFAULT '{}',
    units integer[] NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS archive_file_of_table ON retention.archive_file (table_name, born_to);
