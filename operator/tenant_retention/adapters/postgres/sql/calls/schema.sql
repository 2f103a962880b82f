-- name: become_owner
SET LOCAL ROLE {owner}

-- name: settle_session
SELECT set_config('search_path', 'pg_catalog, pg_temp', true), set_config('TimeZone', 'UTC', true),
    set_config('DateStyle', 'ISO', true), set_config('lock_timeout', '5s', true),
    set_config('client_min_messages', 'warning', true), set_config('check_function_bodies', 'off', true),
    set_config('jit', 'off', true)

-- name: is_installed
SELECT to_regclass('retention.installed_function') IS NOT NULL

-- name: knows_link
SELECT EXISTS (SELECT FROM retention.evidence WHERE %s IN (digest, 'sha256:' || digest))

-- name: installed_format
SELECT format FROM retention.settings

-- name: installed_source
SELECT source_digest FROM retention.component WHERE name = 'scripts'

-- name: remember_source
INSERT INTO retention.component (name, source_digest) VALUES ('scripts', %s)
ON CONFLICT (name) DO UPDATE SET source_digest = excluded.source_digest

-- name: close_functions
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA retention FROM PUBLIC

-- name: forget_functions
DELETE FROM retention.installed_function

-- name: remember_functions
INSERT INTO retention.installed_function (signature, digest)
SELECT p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid) || p.proowner::regrole::text)
FROM pg_proc AS p WHERE p.pronamespace = 'retention'::regnamespace

-- name: changed_functions
SELECT coalesce(i.signature, p.signature) FROM retention.installed_function AS i
FULL JOIN (SELECT oid::regprocedure::text AS signature, md5(pg_get_functiondef(oid) || proowner::regrole::text) AS digest
    FROM pg_proc WHERE pronamespace = 'retention'::regnamespace) AS p USING (signature)
WHERE i.digest IS DISTINCT FROM p.digest ORDER BY 1

-- name: converge_rules
SELECT retention.converge_rules(%s, %s, %s, %s, %s, %s)

-- name: converge_tables
SELECT retention.converge_tables()

-- name: converge_anonymizing
SELECT retention.converge_anonymizing()

-- name: converge_rewrites
SELECT retention.converge_rewrites()

-- name: converge_guards
SELECT retention.converge_guards()

-- name: converge_consent
SELECT retention.converge_consent()

-- name: converge_masked_digits
SELECT retention.converge_masked_digits()

-- name: converge_ranges
SELECT retention.converge_ranges()

-- name: converge_vacuum
SELECT retention.converge_vacuum()

-- name: converge_grants
SELECT retention.converge_grants(%s)

-- name: create_partitions
SELECT retention.create_partitions(%s)

-- name: act_as_owner
SET ROLE {owner}

-- name: indexes_to_build
SELECT index_name, column_name, month, name, state,
    EXISTS (SELECT FROM retention.run AS r WHERE r.finished_at IS NULL AND retention.run_is_alive(r))
FROM retention.index_to_build ORDER BY month DESC, index_name

-- name: settle_builder
SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)

-- name: drop_broken_index
DROP INDEX CONCURRENTLY public.{name}

-- name: build_index
CREATE INDEX CONCURRENTLY {name} ON public.{month} ({column})

-- name: attach_index
ALTER INDEX public.{index} ATTACH PARTITION public.{name}

-- name: hash_key_state
SELECT retention.needs_hash_key(),
    (SELECT retention.hash_key_fingerprint(inner_pad, outer_pad) FROM retention.anonymization_key),
    ARRAY(SELECT fingerprint FROM retention.destroyed_key)

-- name: make_hash_key
SELECT retention.make_anonymization_key()

-- name: read_hash_key
SELECT inner_pad, outer_pad FROM retention.anonymization_key

-- name: lock_hash_key
LOCK TABLE retention.anonymization_key IN SHARE ROW EXCLUSIVE MODE

-- name: take_hash_key
COPY retention.anonymization_key (inner_pad, outer_pad) FROM STDIN

-- name: destroy_hash_key
SELECT retention.destroy_anonymization_key()

-- name: write_approval
INSERT INTO retention.approval AS a (rules_digest, max_rows, until, run_name, after_run)
VALUES (%s, %s, %s, %s, (SELECT coalesce(max(number), 0) FROM retention.run))
ON CONFLICT (rules_digest) DO UPDATE SET max_rows = excluded.max_rows, until = excluded.until, run_name = excluded.run_name,
    -- The same approval written again goes on counting; a new one begins anew.
    after_run = CASE WHEN a.run_name = excluded.run_name AND a.until > now() THEN a.after_run ELSE excluded.after_run END

-- name: refuse_runs
UPDATE retention.settings SET suspended = true WHERE NOT suspended RETURNING true

-- name: note_clock
SELECT retention.note_clock(%s)

-- name: read_definition
SELECT definition FROM retention.settings

-- name: place_hold
SELECT retention.place_hold(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: salt_of_hold
SELECT retention.salt_of_hold(%s)

-- name: release_hold
SELECT retention.release_hold(%s, %s, %s)

-- name: bound_hold_wait
SELECT set_config('lock_timeout', %s, true)

-- name: bound_hold_count
SELECT set_config('statement_timeout', %s, true)

-- name: count_hold
SELECT retention.count_hold(%s)

-- name: knows_holds
SELECT to_regproc('retention.salt_of_hold') IS NOT NULL
