-- Copies of months (r_rewrite.sql) that a run which was killed left. The next run discards them before it does anything; where
-- none comes (suspended, DryRun, released) they are counted as rows that are stored, told by name, and discarded by the operator.

CREATE OR REPLACE FUNCTION retention.abandoned_rewrites() RETURNS SETOF retention.rewrite
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.* FROM retention.rewrite AS w WHERE NOT EXISTS (SELECT FROM retention.run AS r
        WHERE r.run_id = w.run_id AND r.finished_at IS NULL
            AND (retention.run_is_alive(r) OR r.backend_pid = pg_backend_pid() AND r.login = session_user))
$$;

-- The operator's act, as the owner. A copy that somebody reads stays until the next time.
CREATE OR REPLACE FUNCTION retention.converge_rewrites() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w retention.rewrite;
BEGIN
    FOR w IN SELECT * FROM retention.abandoned_rewrites() LOOP
        BEGIN
            PERFORM retention.drop_rewrite(w);
            RETURN NEXT format('%s, which a run that was killed left, is discarded', w.copy);
        EXCEPTION WHEN lock_not_available THEN
            RETURN NEXT format('%s, which a run that was killed left, cannot be discarded yet: somebody reads it', w.copy);
        END;
    END LOOP;
END
$$;
