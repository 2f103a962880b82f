-- What a backup login asks. Bounds and values are printed in UTC and ISO, so that they are read back as they were.

-- name: settle
SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false), set_config('IntervalStyle', 'postgres', false),
    set_config('extra_float_digits', '1', false), set_config('bytea_output', 'hex', false),
    set_config('idle_in_transaction_session_timeout', '0', false)

-- name: begin
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: fix_view
SELECT pg_export_snapshot()

-- name: take_view
SET TRANSACTION SNAPSHOT {snapshot}

-- name: commit
COMMIT

-- name: parts
SELECT parent.relname::text, child.oid::bigint, bound = 'DEFAULT',
    coalesce(substring(bound FROM 'FROM \(''([^'']+)''\)'), '-infinity'),
    coalesce(substring(bound FROM 'TO \(''([^'']+)''\)'), 'infinity')
FROM pg_class AS parent LEFT JOIN pg_inherits AS i ON i.inhparent = parent.oid LEFT JOIN pg_class AS child ON child.oid = i.inhrelid
CROSS JOIN LATERAL pg_get_expr(child.relpartbound, child.oid) AS bound
WHERE parent.relnamespace = 'public'::regnamespace AND parent.relkind = 'p' AND parent.relname = ANY (%s)
ORDER BY 1, 4

-- name: is_there
SELECT 1 FROM pg_partition_tree(format('public.%%I', %s::text)::regclass) AS t WHERE t.relid::oid = %s::bigint::oid

-- name: copy_part
COPY (SELECT {columns} FROM public.{table} WHERE {born_at} >= {born_from} AND {born_at} < {born_to}) TO STDOUT

-- name: copy_rest
COPY (SELECT {columns} FROM public.{table} WHERE tableoid = {relation}) TO STDOUT

-- name: copy_holds
COPY (SELECT {columns} FROM retention.hold) TO STDOUT

-- name: record_backups
SELECT retention.record_backups(%s, %s)

-- name: copy_archive_files
COPY (SELECT {columns} FROM retention.archive_file) TO STDOUT
