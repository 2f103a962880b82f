-- name: settle_enforcer
SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
    set_config('tcp_keepalives_count', '3', false), set_config('idle_session_timeout', '15min', false)

-- name: begin_run
SELECT retention.begin_run(%s, %s, %s, %s)

-- name: limit_run
SELECT retention.limit_run(%s, %s)

-- name: active_tables
SELECT retention.active_tables()

-- name: ensure_partitions
SELECT retention.ensure_partitions(%s, %s)

-- name: finish_detached_months
SELECT retention.finish_detached_months(%s, %s)

-- name: partition_steps
SELECT retention.partition_steps(%s, %s)

-- name: expire_months
SELECT retention.expire_months(%s, %s, %s, %s, %s, %s)

-- name: expire_range
SELECT retention.expire_range(%s, %s, %s, %s, %s, %s)

-- name: claim_content
SELECT retention.claim_content(%s, %s, %s)

-- name: confirm_claims
SELECT retention.confirm_claims(%s, %s)

-- name: release_claims
SELECT retention.release_claims(%s, %s)

-- name: objects_named_here
SELECT retention.objects_named_here(%s, %s)

-- name: objects_to_lock
SELECT retention.objects_to_lock(%s, %s, %s, %s)

-- name: record_locks
SELECT retention.record_locks(%s, %s, %s)

-- name: record_failure
SELECT retention.record_failure(%s, %s, %s)

-- name: finish_run
SELECT retention.finish_run(%s)

-- name: anonymize_steps
SELECT retention.anonymize_steps(%s, %s)

-- name: anonymize_range
SELECT retention.anonymize_range(%s, %s, %s, %s, %s, %s)

-- name: watch_month
SELECT retention.watch_month(%s, %s, %s, %s)

-- name: prove_month
SELECT retention.prove_month(%s, %s, %s, %s)

-- name: discard_rewrites
SELECT retention.discard_rewrites(%s)

-- name: rewrite_begin
SELECT retention.rewrite_begin(%s, %s, %s, %s)

-- name: rewrite_copy
SELECT retention.rewrite_copy(%s, %s, %s, %s)

-- name: rewrite_index
SELECT retention.rewrite_index(%s, %s)

-- name: rewrite_swap
SELECT retention.rewrite_swap(%s, %s, %s, %s)

-- name: pressure
SELECT retention.pressure()

-- name: refresh_statistics
SELECT retention.refresh_statistics(%s, %s, %s)

-- name: count_files
SELECT retention.count_files(%s, %s, %s, %s)

-- name: own_files
SELECT retention.own_files(%s, %s, %s)

-- name: claim_files
SELECT retention.claim_files(%s, %s, %s, %s)

-- name: confirm_files
SELECT retention.confirm_files(%s, %s, %s, %s)

-- name: recount_files
SELECT retention.recount_files(%s, %s, %s)

-- name: files_to_lock
SELECT retention.files_to_lock(%s, %s, %s)

-- name: orphan_place
SELECT retention.orphan_place(%s, %s)

-- name: unnamed_objects
SELECT retention.unnamed_objects(%s)

-- name: rows_naming_objects
SELECT retention.rows_naming_objects(%s, %s, %s, %s)

-- name: record_orphans
SELECT retention.record_orphans(%s, %s, %s, %s, %s, %s, %s, %s)

-- name: lives
SELECT FROM pg_stat_activity WHERE pid = %s AND usename = session_user

-- name: end_session
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND usename = session_user

-- name: cached_rows
SELECT retention.cached_rows(%s, %s, %s)

-- name: record_cache
SELECT retention.record_cache(%s, %s)

-- name: scan_findings
SELECT retention.scan_findings(%s, %s, %s, %s)

-- name: clear_findings
SELECT retention.clear_findings(%s, %s, %s, %s)

-- name: archive_steps
SELECT retention.archive_steps(%s, %s)

-- name: archive_rows
SELECT retention.archive_rows(%s, %s, %s, %s, %s, %s)

-- name: archive_moved
SELECT retention.archive_moved(%s, %s, %s, %s, %s, %s, %s, %s)

-- name: take_archived
SELECT retention.take_archived(%s, %s, %s, %s)

-- name: pause_archiving
SELECT retention.pause_archiving(%s, %s, %s, %s)

-- name: bring_back
SELECT retention.bring_back(%s, %s, %s)

-- name: archived_here
SELECT retention.archived_here(%s, %s, %s, %s)
