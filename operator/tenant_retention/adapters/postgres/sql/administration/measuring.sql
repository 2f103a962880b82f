Figures of a server, as a login sees them that is no superuser (D6, D7). Nothing here leaves anything behind.

-- name: round_trip
SELECT 1

-- name: server_time
SELECT clock_timestamp()

-- name: measure
-- Sessions: every client of the server, whoever's; of another one's session only that it is there can be seen.
SELECT current_setting('server_version'),
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
       (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL),
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - coalesce(current_setting('reserved_connections', true)::integer, 0),
       (SELECT sum(pg_database_size(oid)) FROM pg_database
        WHERE datname = current_database() OR (%(whole)s AND has_database_privilege(oid, 'CONNECT')))

-- name: standbys
SELECT count(*), count(state), coalesce(extract(epoch FROM max(replay_lag)), 0),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, '0/0')::bigint,
       min(pg_wal_lsn_diff(replay_lsn, '0/0'))::bigint
FROM pg_stat_replication

-- name: write_locally
-- A standby that is away must not keep the commit, and whoever waits for it, for ever: what is tried is the server's own disk.
SELECT set_config('synchronous_commit', 'local', true), set_config('lock_timeout', '5s', true)

-- name: store_one_row
INSERT INTO retention.component (name, source_digest) VALUES ('measurement', '')
ON CONFLICT (name) DO UPDATE SET source_digest = excluded.source_digest

-- name: release_one_row
DELETE FROM retention.component WHERE name = 'measurement'
