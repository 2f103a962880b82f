Roles and memberships.

-- name: take_hold_of_new_roles
-- 16 and later: the creator of a role gets its privileges and may become it, in the transaction that creates it.
SET createrole_self_grant TO 'set, inherit'

-- name: create_role
CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT

-- name: create_login
CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT CONNECTION LIMIT {connection_limit}
    PASSWORD {verifier} IN ROLE {group}

-- name: comment_on_role
COMMENT ON ROLE {role} IS {comment}

-- name: set_password
ALTER ROLE {role} PASSWORD {verifier}

-- name: set_login_attributes
ALTER ROLE {role} LOGIN INHERIT NOCREATEDB NOCREATEROLE CONNECTION LIMIT {connection_limit} VALID UNTIL 'infinity'

-- name: set_group_attributes
ALTER ROLE {role} NOLOGIN INHERIT NOCREATEDB NOCREATEROLE CONNECTION LIMIT {connection_limit} VALID UNTIL 'infinity'

-- name: lock_login
ALTER ROLE {role} NOLOGIN

-- name: reset_settings
ALTER ROLE {role} RESET ALL

-- name: reset_settings_in_database
ALTER ROLE {role} IN DATABASE {database} RESET ALL

-- name: set_setting
ALTER ROLE {role} SET {setting} TO {value}

-- name: grant_membership
GRANT {role} TO {member}

-- name: grant_membership_in_full
-- 16 and later
GRANT {role} TO {member} WITH INHERIT TRUE, SET TRUE

-- name: revoke_membership
REVOKE {role} FROM {member} CASCADE

-- name: revoke_membership_of_grantor
-- 16 and later: a grant belongs to its grantor
REVOKE {role} FROM {member} GRANTED BY {grantor} CASCADE

-- name: end_sessions
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %(role)s

-- name: hand_possessions_over
REASSIGN OWNED BY {role} TO {heir}

-- name: drop_possessions
DROP OWNED BY {role}

-- name: drop_role
DROP ROLE IF EXISTS {role}
