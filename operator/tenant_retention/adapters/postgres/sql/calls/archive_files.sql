-- Calls about the files of the archive bucket, one function each.

-- name: name_archive_file
SELECT retention.name_archive_file(%s, %s, %s, %s, %s, %s)

-- name: copy_archive_file
COPY (SELECT * FROM retention.archive_file_rows({run}, {file}) AS r ({columns})) TO STDOUT WITH (FORMAT csv)

-- name: keep_archive_file
SELECT retention.keep_archive_file(%s, %s, %s, %s, %s, %s)

-- name: give_up_archive_file
SELECT retention.give_up_archive_file(%s, %s)

-- name: leaving_archive_files
SELECT retention.leaving_archive_files(%s, %s, %s, %s)

-- name: archive_files_gone
SELECT retention.archive_files_gone(%s, %s, %s)

-- name: archive_files_of
SELECT retention.archive_files_of(%s, %s, %s)

-- name: restore_archive_file
SELECT retention.restore_archive_file(%s, %s)

-- name: archive_file_states
SELECT retention.archive_file_states()

-- name: unnamed_files_due
SELECT retention.unnamed_files_due(%s, %s, %s)
