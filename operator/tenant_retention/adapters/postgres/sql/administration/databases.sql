Databases and what PUBLIC may do in them.

-- name: create_database
-- template0: nothing that a site put into template1, and no grant of it, comes along.
CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false CONNECTION LIMIT {connection_limit}

-- name: become
SET LOCAL ROLE {role}

-- name: grant_connect
GRANT CONNECT ON DATABASE {database} TO {grantee}

-- name: revoke_connect
REVOKE CONNECT ON DATABASE {database} FROM {grantee} CASCADE

-- name: revoke_create
REVOKE CREATE ON DATABASE {database} FROM {grantee} CASCADE

-- name: revoke_temporary
REVOKE TEMPORARY ON DATABASE {database} FROM {grantee} CASCADE

-- name: allow_connections
ALTER DATABASE {database} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT {connection_limit}

-- name: close_public_schema
REVOKE ALL ON SCHEMA public FROM PUBLIC CASCADE

-- name: close_default_functions
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON FUNCTIONS FROM PUBLIC

-- name: close_default_tables
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON TABLES FROM PUBLIC

-- name: close_default_sequences
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON SEQUENCES FROM PUBLIC

-- name: close_default_schemas
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON SCHEMAS FROM PUBLIC

-- name: drop_database
DROP DATABASE IF EXISTS {database}

-- name: drop_database_in_use
DROP DATABASE IF EXISTS {database} WITH (FORCE)
