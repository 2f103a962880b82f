Looking at a server: sessions, roles, memberships, databases. Nothing here changes anything.

-- name: server_facts
SELECT rolcreatedb, rolcreaterole, rolsuper,
       (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid())
FROM pg_roles
WHERE rolname = current_user

-- name: observe_roles
SELECT rolname, rolcanlogin, rolinherit, rolconnlimit,
       coalesce(rolvaliduntil <> 'infinity', false),
       shobj_description(oid, 'pg_authid'),
       pg_has_role(current_user, oid, 'USAGE') AND pg_has_role(current_user, oid, %(become)s),
       array_remove(ARRAY[
           CASE WHEN rolsuper THEN 'SUPERUSER' END,
           CASE WHEN rolcreatedb THEN 'CREATEDB' END,
           CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
           CASE WHEN rolreplication THEN 'REPLICATION' END,
           CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL)
FROM pg_roles
WHERE rolname = ANY (%(names)s)

-- name: observe_settings
SELECT r.rolname, coalesce(d.datname, ''), unnest(s.setconfig)
FROM pg_db_role_setting s
JOIN pg_roles r ON r.oid = s.setrole
LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE r.rolname = ANY (%(names)s)

-- name: observe_memberships
-- On 16 and later a grant can be taken away by who holds its grantor's privileges; before, by CREATEROLE.
SELECT r.rolname, m.rolname,
       CASE WHEN %(version)s >= 160000 THEN coalesce(pg_has_role(current_user, g.oid, 'USAGE'), false)
            ELSE NOT r.rolsuper END
FROM pg_auth_members a
JOIN pg_roles r ON r.oid = a.roleid
JOIN pg_roles m ON m.oid = a.member
LEFT JOIN pg_roles g ON g.oid = a.grantor
WHERE r.rolname = ANY (%(names)s) OR m.rolname = ANY (%(names)s)

-- name: observe_data
SELECT pg_get_userbyid(datdba), datallowconn, datconnlimit
FROM pg_database
WHERE datname = %(database)s

-- name: observe_grants
SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = %(database)s AND a.grantee <> d.datdba

-- name: observe_open_databases
SELECT d.datname
FROM pg_database d
WHERE d.datallowconn AND d.datname <> %(database)s
  AND EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
              WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')
ORDER BY d.datname

-- name: observe_interior
SELECT ARRAY(SELECT a.privilege_type
             FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
             WHERE n.nspname = 'public' AND a.grantee = 0),
       EXISTS (SELECT FROM pg_default_acl f
               WHERE f.defaclrole = o.oid AND f.defaclnamespace = 0 AND f.defaclobjtype = 'f')
       AND NOT EXISTS (SELECT FROM pg_default_acl f, aclexplode(f.defaclacl) a
                       WHERE f.defaclrole = o.oid AND f.defaclnamespace = 0 AND f.defaclobjtype <> 'T' AND a.grantee = 0)
FROM pg_roles o
WHERE o.rolname = %(owner)s

-- name: discover_owners
SELECT r.rolname, shobj_description(r.oid, 'pg_authid')
FROM pg_roles r
WHERE right(r.rolname, 6) = '_owner' AND shobj_description(r.oid, 'pg_authid') IS NOT NULL
ORDER BY r.rolname

-- name: discover_databases
SELECT d.datname, pg_get_userbyid(d.datdba)
FROM pg_database d

-- name: grantors_of_membership
SELECT DISTINCT g.rolname
FROM pg_auth_members a
JOIN pg_roles g ON g.oid = a.grantor
WHERE a.roleid = (SELECT oid FROM pg_roles WHERE rolname = %(role)s)
  AND a.member = (SELECT oid FROM pg_roles WHERE rolname = %(member)s)
  AND pg_has_role(current_user, g.oid, 'USAGE')

-- name: role_exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)

-- name: databases_with_possessions
-- Where a role owns something, or something was granted to it; it cannot be dropped before that is settled.
SELECT DISTINCT d.datname
FROM pg_shdepend s
JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass
  AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %(role)s)
  AND d.datallowconn
