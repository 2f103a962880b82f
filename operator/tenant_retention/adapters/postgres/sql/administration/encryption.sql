How sessions arrive at the server (T8). Nothing here changes anything.

-- name: own_encryption
SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)

-- name: plain_sessions
-- Sessions of logins whose privileges the administrator has; of others the server tells no address.
SELECT DISTINCT a.usename
FROM pg_stat_activity a
JOIN pg_stat_ssl s USING (pid)
WHERE a.datname = %(database)s AND a.client_addr IS NOT NULL AND NOT s.ssl
ORDER BY a.usename
