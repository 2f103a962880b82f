-- Who may do what inside this database. `roles` maps owner, app, reader, auditor, enforcer, backup, observer to role names.

CREATE OR REPLACE FUNCTION retention.wanted_grants(roles jsonb)
RETURNS TABLE (kind text, object text, column_name text, grantee text, privilege text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Where somebody else owns schema public (clusters upgraded from before 15) its grants are theirs.
    SELECT 'SCHEMA', 'public', NULL, roles ->> role, 'USAGE' FROM unnest(ARRAY['app', 'reader', 'backup']) AS role
    WHERE (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public')
    UNION ALL
    SELECT 'SCHEMA', 'retention', NULL, roles ->> role, 'USAGE' FROM unnest(ARRAY['enforcer', 'observer', 'auditor', 'backup']) AS role
    UNION ALL
    SELECT 'TABLE', format('public.%I', t.name), NULL, roles ->> g.role, g.privilege
    FROM retention.managed_table AS t, retention.settings AS s,
        (VALUES ('app', 'SELECT'), ('app', 'INSERT'), ('reader', 'SELECT'), ('backup', 'SELECT')) AS g(role, privilege)
    -- Into an archive only what comes from a live database.
    WHERE (s.purpose <> 'Archive' OR g.privilege = 'SELECT')
        -- A restore that is not over yet: what it brought back and today's rules take away again is nobody's to see.
        AND NOT EXISTS (SELECT FROM retention.restoring)
    UNION ALL
    -- Without its holds a backup that is restored would lose what they keep (X3).
    SELECT 'TABLE', 'retention.hold', NULL, roles ->> 'backup', 'SELECT'
    UNION ALL
    -- And without the index nobody would know the files of its archive, which would never go (T6).
    SELECT 'TABLE', 'retention.archive_file', NULL, roles ->> 'backup', 'SELECT'
    UNION ALL
    -- The birth and the key are never updated; a clock that starts later is, once.
    SELECT 'TABLE', format('public.%I', t.name), a.attname::text, roles ->> 'app', 'UPDATE'
    FROM retention.managed_table AS t
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', t.name)) AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.attname <> t.born_at AND a.attname <> ALL (t.primary_key)
        AND NOT EXISTS (SELECT FROM retention.settings WHERE purpose = 'Archive')
        AND NOT EXISTS (SELECT FROM retention.restoring)
    UNION ALL
    SELECT 'FUNCTION', p.oid::regprocedure::text, NULL, roles ->> g.role, 'EXECUTE'
    FROM pg_proc AS p JOIN (VALUES
        ('begin_run', 'enforcer'), ('limit_run', 'enforcer'), ('active_tables', 'enforcer'), ('ensure_partitions', 'enforcer'),
        ('finish_detached_months', 'enforcer'), ('pressure', 'enforcer'), ('refresh_statistics', 'enforcer'), ('partition_steps', 'enforcer'), ('expire_months', 'enforcer'),
        ('expire_range', 'enforcer'), ('claim_content', 'enforcer'), ('confirm_claims', 'enforcer'),
        ('release_claims', 'enforcer'), ('objects_named_here', 'enforcer'), ('objects_to_lock', 'enforcer'), ('record_locks', 'enforcer'), ('record_failure', 'enforcer'), ('finish_run', 'enforcer'),
        ('anonymize_steps', 'enforcer'), ('anonymize_range', 'enforcer'), ('watch_month', 'enforcer'), ('prove_month', 'enforcer'),
        ('scan_findings', 'enforcer'), ('clear_findings', 'enforcer'),
        ('limit_to_requests', 'enforcer'), ('begin_search', 'enforcer'), ('find_subjects', 'enforcer'), ('find_relatives', 'enforcer'), ('subjects_found', 'enforcer'), ('work_requests', 'enforcer'),
        ('discard_rewrites', 'enforcer'), ('rewrite_begin', 'enforcer'), ('rewrite_copy', 'enforcer'), ('rewrite_index', 'enforcer'), ('rewrite_swap', 'enforcer'),
        ('count_files', 'enforcer'), ('own_files', 'enforcer'), ('claim_files', 'enforcer'), ('confirm_files', 'enforcer'), ('recount_files', 'enforcer'), ('files_to_lock', 'enforcer'),
        ('orphan_place', 'enforcer'), ('unnamed_objects', 'enforcer'), ('rows_naming_objects', 'enforcer'), ('record_orphans', 'enforcer'),
        ('cached_rows', 'enforcer'), ('record_cache', 'enforcer'),
        ('archive_steps', 'enforcer'), ('archive_rows', 'enforcer'), ('archive_moved', 'enforcer'), ('take_archived', 'enforcer'), ('archived_here', 'enforcer'),
        ('name_archive_file', 'enforcer'), ('archive_file_rows', 'enforcer'), ('keep_archive_file', 'enforcer'), ('give_up_archive_file', 'enforcer'),
        ('leaving_archive_files', 'enforcer'), ('archive_files_gone', 'enforcer'), ('archive_files_of', 'enforcer'), ('archive_file_states', 'enforcer'),
        ('unnamed_files_due', 'enforcer'), ('restore_archive_file', 'enforcer'),
        ('pause_archiving', 'enforcer'), ('bring_back', 'enforcer'),
        ('record_backups', 'backup'), ('observe', 'observer'), ('read_evidence', 'observer'), ('read_evidence', 'auditor')) AS g(name, role)
        ON p.proname = g.name
    WHERE p.pronamespace = 'retention'::regnamespace
$$;

-- What is granted on our schemas, tables, partitions and functions to anybody but the owner.
CREATE OR REPLACE FUNCTION retention.actual_grants(roles jsonb)
RETURNS TABLE (kind text, object text, column_name text, grantee text, privilege text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH relations AS (
        SELECT c.oid, c.relacl, format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'retention') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
            AND c.relowner = (roles ->> 'owner')::regrole
    ), granted AS (
        SELECT 'SCHEMA' AS kind, n.nspname::text AS object, NULL::text AS column_name, acl.grantee, acl.privilege_type
        FROM pg_namespace AS n, aclexplode(n.nspacl) AS acl WHERE n.nspname IN ('public', 'retention')
            AND acl.grantee <> n.nspowner AND pg_has_role(n.nspowner, 'USAGE')
        UNION ALL
        SELECT 'TABLE', r.name, NULL, acl.grantee, acl.privilege_type FROM relations AS r, aclexplode(r.relacl) AS acl
        UNION ALL
        SELECT 'TABLE', r.name, a.attname::text, acl.grantee, acl.privilege_type
        FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid, aclexplode(a.attacl) AS acl
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text, NULL, acl.grantee, acl.privilege_type
        FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl
        WHERE p.pronamespace = 'retention'::regnamespace
    )
    SELECT kind, object, column_name,
        CASE WHEN granted.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(granted.grantee)::text END, privilege_type
    FROM granted WHERE granted.grantee <> (roles ->> 'owner')::regrole
$$;

CREATE OR REPLACE FUNCTION retention.converge_grants(roles jsonb) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    g record;
    role_name text;
BEGIN
    FOR g IN SELECT * FROM retention.actual_grants(roles) EXCEPT SELECT * FROM retention.wanted_grants(roles) ORDER BY 1, 2, 3, 4, 5 LOOP
        role_name := CASE g.grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(g.grantee) END;
        EXECUTE format('REVOKE %s%s ON %s %s FROM %s CASCADE', g.privilege,
            CASE WHEN g.column_name IS NULL THEN '' ELSE format(' (%I)', g.column_name) END, g.kind, g.object, role_name);
        RETURN NEXT format('%s on %s%s revoked from %s', g.privilege, g.object, coalesce('.' || g.column_name, ''), g.grantee);
    END LOOP;
    FOR g IN SELECT * FROM retention.wanted_grants(roles) EXCEPT SELECT * FROM retention.actual_grants(roles) ORDER BY 1, 2, 3, 4, 5 LOOP
        EXECUTE format('GRANT %s%s ON %s %s TO %I', g.privilege,
            CASE WHEN g.column_name IS NULL THEN '' ELSE format(' (%I)', g.column_name) END, g.kind, g.object, g.grantee);
        RETURN NEXT format('%s on %s%s granted to %s', g.privilege, g.object, coalesce('.' || g.column_name, ''), g.grantee);
    END LOOP;
END
$$;
