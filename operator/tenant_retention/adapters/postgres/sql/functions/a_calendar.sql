-- The one calendar rule in SQL (X9); domain/durations.py has it in Python, a test proves both equal.

CREATE OR REPLACE FUNCTION retention.months_of(duration text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE right(duration, 1)
        WHEN 'Y' THEN 12 * substr(duration, 2, length(duration) - 2)::integer
        WHEN 'M' THEN substr(duration, 2, length(duration) - 2)::integer
        ELSE 0 END
$$;

CREATE OR REPLACE FUNCTION retention.days_of(duration text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE right(duration, 1)
        WHEN 'W' THEN 7 * substr(duration, 2, length(duration) - 2)::integer
        WHEN 'D' THEN substr(duration, 2, length(duration) - 2)::integer
        ELSE 0 END
$$;

-- The years 1 to 9999: what every reader of a time can hold. PostgreSQL takes others, and an application may have written one.
CREATE OR REPLACE FUNCTION retention.readable(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT least(greatest(at, timestamptz '0001-01-01 00:00:00+00'), timestamptz '9999-12-31 23:59:59.999999+00')
$$;

-- A day that the target month does not have ends at 00:00 of the first day of the month after it. Days are 24 hours.
-- Months are counted on UTC's wall clock, so that no session's time zone plays a part.
CREATE OR REPLACE FUNCTION retention.period_end(birth timestamptz, months integer, days integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT least(
        CASE WHEN months = 0 THEN wall AT TIME ZONE 'UTC' + make_interval(hours => 24 * days)
        ELSE least(
            target + (wall - date_trunc('month', wall)),
            target + interval '1 month') AT TIME ZONE 'UTC' END,
        timestamptz '9999-12-31 23:59:59.999999+00')
    -- As retention.readable: at the end of PostgreSQL's own range nothing could be added.
    FROM (SELECT least(greatest(birth, timestamptz '0001-01-01 00:00:00+00'), timestamptz '9999-12-31 23:59:59.999999+00')
            AT TIME ZONE 'UTC' AS wall) AS born,
        LATERAL (SELECT date_trunc('month', wall) + make_interval(months => months) AS target) AS calendar
$$;

-- The latest birth whose period has passed: due exactly when birth <= cutoff.
CREATE OR REPLACE FUNCTION retention.cutoff(at timestamptz, months integer, days integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(
        CASE WHEN months = 0 THEN at - make_interval(hours => 24 * days)
        ELSE least(
            target + (wall - date_trunc('month', wall)),
            target + interval '1 month' - interval '1 microsecond') AT TIME ZONE 'UTC' END,
        timestamptz '0001-01-01 00:00:00+00')
    FROM (SELECT at AT TIME ZONE 'UTC' AS wall,
        -- Nothing lies before the year 1; without the bound a long period would leave the range of timestamps.
        date_trunc('month', at AT TIME ZONE 'UTC') - make_interval(months => least(months,
            12 * extract(year FROM at AT TIME ZONE 'UTC')::integer)) AS target) AS calendar
$$;

CREATE OR REPLACE FUNCTION retention.cutoff(at timestamptz, duration text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT retention.cutoff(at, retention.months_of(duration), retention.days_of(duration))
$$;

-- domain/decisions.py cutoffs() in SQL: what a run at this instant removes, may not touch, and should no longer find.
CREATE OR REPLACE FUNCTION retention.rule_cutoffs(
    minimum text, keep text, maximum text, margin_seconds bigint, at timestamptz,
    OUT remove timestamptz, OUT young timestamptz, OUT overdue timestamptz)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN coalesce(by_keep, by_max) IS NULL THEN NULL ELSE least(greatest(by_keep, by_max), by_min) END,
        by_min, retention.cutoff(at, maximum)
    FROM (SELECT retention.cutoff(at, keep) AS by_keep,
        retention.cutoff(at + make_interval(secs => margin_seconds), maximum) AS by_max,
        retention.cutoff(at, minimum) AS by_min) AS bounds
$$;
