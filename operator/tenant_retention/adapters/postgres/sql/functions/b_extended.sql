-- Bought storage (T5) in the cut-offs; domain/decisions.py has the same rule in Python, a test proves both equal.

-- retention.rule_cutoffs, where other bounds stand for keep and max until an instant (null: for ever; no such bounds: never).
-- What only the bought time kept goes in the first run after it and is overdue a margin later.
CREATE OR REPLACE FUNCTION retention.extended_cutoffs(
    minimum text, keep text, maximum text, extended_keep text, extended_maximum text, extended_until timestamptz,
    margin_seconds bigint, at timestamptz, OUT remove timestamptz, OUT young timestamptz, OUT overdue timestamptz)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.remove, r.young, retention.cutoff(at, CASE WHEN extended_maximum IS NOT NULL
            AND coalesce(at - make_interval(secs => margin_seconds) < extended_until, true) THEN extended_maximum ELSE maximum END)
    FROM (SELECT extended_keep IS NOT NULL AND coalesce(at < extended_until, true) AS lasts) AS bought,
        retention.rule_cutoffs(minimum, CASE WHEN lasts THEN extended_keep ELSE keep END,
            CASE WHEN lasts THEN extended_maximum ELSE maximum END, margin_seconds, at) AS r
$$;

CREATE OR REPLACE FUNCTION retention.cutoffs_of(c retention.category, margin_seconds bigint, at timestamptz,
    OUT remove timestamptz, OUT young timestamptz, OUT overdue timestamptz)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM retention.extended_cutoffs(c.minimum, c.keep, c.maximum, c.extended_keep, c.extended_maximum,
        c.extended_until, margin_seconds, at)
$$;

-- What the rules executed last remove at a later time: the end of a bought time, known when they ran, is part of them, so
-- that what becomes due by it is no surprise to the guard.
CREATE OR REPLACE FUNCTION retention.cutoff_of_executed(e retention.executed_rule, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT remove FROM retention.extended_cutoffs(e.minimum, e.keep, e.maximum, e.extended_keep, e.extended_maximum,
        e.extended_until, e.margin_seconds, at)
$$;

-- When an item of this clock must be gone.
CREATE OR REPLACE FUNCTION retention.deadline_of(clock timestamptz, c retention.category, margin_seconds bigint)
RETURNS timestamptz LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN c.extended_maximum IS NULL OR longest IS NULL THEN own
        ELSE least(longest, greatest(own, coalesce(c.extended_until + make_interval(secs => margin_seconds), 'infinity'))) END
    FROM (SELECT retention.period_end(clock, retention.months_of(c.maximum), retention.days_of(c.maximum)) AS own,
        retention.period_end(clock, retention.months_of(c.extended_maximum), retention.days_of(c.extended_maximum)) AS longest) AS ends
$$;
