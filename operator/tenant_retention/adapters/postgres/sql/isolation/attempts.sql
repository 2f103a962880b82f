What no tenant login may do. Each is tried in a transaction of its own that is always rolled back; only the refusal
"insufficient_privilege" counts as one.

-- name: read_a_file_of_the_server
SELECT pg_read_file('PG_VERSION')

-- name: read_a_binary_file_of_the_server
SELECT pg_read_binary_file('PG_VERSION')

-- name: list_a_directory_of_the_server
SELECT pg_ls_dir('.')

-- name: import_a_file_as_large_object
SELECT lo_import('PG_VERSION')

-- name: run_a_program_on_the_server
COPY (SELECT 1) TO PROGRAM 'true'

-- name: write_a_file_on_the_server
COPY (SELECT 1) TO '/tmp/tenant-retention-probe'

-- name: read_password_verifiers
SELECT rolpassword FROM pg_authid LIMIT 1

-- name: create_a_role
CREATE ROLE tenant_retention_probe NOLOGIN

-- name: create_a_schema
CREATE SCHEMA tenant_retention_probe

-- name: create_a_table
CREATE TABLE public.tenant_retention_probe (id integer)

-- name: change_a_setting_of_the_server
SET LOCAL log_statement TO 'none'

-- name: replace_a_catalog_function
CREATE FUNCTION pg_catalog.tenant_retention_probe() RETURNS integer LANGUAGE sql AS 'SELECT 1'

-- name: become_a_role
SET LOCAL ROLE {role}
