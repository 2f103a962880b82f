-- Loading a backup, as the owner.

-- name: state
SELECT rules_digest, mode, suspended, (SELECT backup_id FROM retention.restoring) FROM retention.settings

-- name: has_rows
SELECT EXISTS (SELECT FROM public.{table})

-- name: lock_table
LOCK TABLE public.{table} IN SHARE ROW EXCLUSIVE MODE

-- name: begin
INSERT INTO retention.restoring (backup_id, beside) VALUES (%s, %s) ON CONFLICT (only_row) DO NOTHING

-- name: lock_settings
SELECT FROM retention.settings FOR UPDATE

-- name: let_replay
UPDATE retention.restoring SET replay = %s

-- name: loaded
SELECT number FROM retention.restored_file

-- name: note_loaded
INSERT INTO retention.restored_file (number, rows) VALUES (%s, %s)

-- name: create_months
SELECT retention.create_months(%s, %s::timestamptz, %s::timestamptz)

-- name: take_in_any
SELECT retention.take_in_any(%s, %s)

-- name: set_checks_aside
SELECT retention.set_checks_aside(%s)

-- name: put_checks_back
SELECT retention.put_checks_back(%s, %s)

-- name: copy_rows
COPY public.{table} ({columns}) FROM STDIN

-- name: is_beside
SELECT beside FROM retention.restoring

-- name: stage_rows
CREATE TEMPORARY TABLE restored_row ON COMMIT DROP AS SELECT {columns} FROM public.{table} WITH NO DATA

-- name: copy_staged_rows
COPY pg_temp.restored_row ({columns}) FROM STDIN

-- name: add_rows
INSERT INTO public.{table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM pg_temp.restored_row ON CONFLICT DO NOTHING

-- name: stage_holds
CREATE TEMPORARY TABLE restored_hold (LIKE retention.hold) ON COMMIT DROP

-- name: open_stage
ALTER TABLE pg_temp.restored_hold ALTER COLUMN hold_id DROP NOT NULL

-- name: copy_holds
COPY pg_temp.restored_hold ({columns}) FROM STDIN

-- name: add_holds
INSERT INTO retention.hold ({columns}) SELECT {columns} FROM pg_temp.restored_hold AS r
WHERE NOT EXISTS (SELECT FROM retention.hold AS h
    WHERE (h.category, h.session, h.unit, h.born_from, h.born_to, h.reference, h.placed_at)
        IS NOT DISTINCT FROM (r.category, r.session, r.unit, r.born_from, r.born_to, r.reference, r.placed_at)
        -- Of one that was released meanwhile nobody knows any more whom it was about.
        AND (h.person IS NOT DISTINCT FROM r.person OR h.person IS NULL AND h.released_at IS NOT NULL))

-- name: stage_archive_files
CREATE TEMPORARY TABLE restored_archive_file (LIKE retention.archive_file) ON COMMIT DROP

-- name: open_archive_stage
ALTER TABLE pg_temp.restored_archive_file ALTER COLUMN file_id DROP NOT NULL

-- name: copy_archive_files
COPY pg_temp.restored_archive_file ({columns}) FROM STDIN

-- name: add_archive_files
INSERT INTO retention.archive_file ({columns}) SELECT {columns} FROM pg_temp.restored_archive_file ON CONFLICT (key) DO NOTHING

-- name: archive_keys
SELECT key FROM retention.archive_file

-- name: take_file_back
SELECT retention.take_file_back(%s, %s)

-- name: forget_archive_files
DELETE FROM retention.archive_file WHERE key = ANY (%s) RETURNING rows

-- name: forget_files
DELETE FROM retention.restored_file

-- name: progress
SELECT CASE WHEN EXISTS (SELECT FROM retention.restoring) THEN
        CASE WHEN EXISTS (SELECT FROM retention.restoring WHERE backup_id = %(id)s) THEN 'Loading' ELSE 'None' END
    WHEN EXISTS (SELECT FROM retention.restored WHERE backup_id = %(id)s) THEN 'Opened' ELSE 'None' END

-- name: note_opened
INSERT INTO retention.restored (backup_id) SELECT backup_id FROM retention.restoring ON CONFLICT (backup_id) DO NOTHING

-- name: record_begin
SELECT retention.append_act(jsonb_build_object('kind', 'RestoreBegun', 'backup', backup_id)) FROM retention.restoring

-- name: record_end
SELECT retention.append_act(jsonb_build_object('kind', 'RestoreEnded', 'backup', r.backup_id, 'files', f.files, 'rows', f.rows))
FROM retention.restoring AS r, (SELECT count(*) AS files, coalesce(sum(rows), 0) AS rows FROM retention.restored_file) AS f

-- name: end
DELETE FROM retention.restoring

-- name: end_approval
UPDATE retention.approval SET until = now() WHERE run_name = %s AND until > now()
