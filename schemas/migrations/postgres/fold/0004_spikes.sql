-- The spike detector: the tables of ../../fold/0004_spikes.sql. A release that does not know them folds on and leaves
-- redemptions out.

create table spike_codes (
    vendor      bigint not null,
    code        bigint not null,
    part        bigint not null,
    position    bigint not null,           -- of the last redemption, rising
    due_at      bigint,                    -- when the first one that waits can be judged, ms; null if nobody need ask
    last_due_at bigint not null,           -- when the last one can be judged, ms
    seen_day    bigint not null,           -- days since 1970 of the time on the last record
    body        bytea not null,            -- the state of domain::spikes::CodeState
    primary key (vendor, code)
) with (fillfactor = 50);
create index spike_codes_due on spike_codes (part, due_at) where due_at is not null;

create table spike_vendors (
    vendor bigint primary key,
    body   bytea not null                  -- JSON
) with (fillfactor = 50);

create table spike_alerts (
    vendor     bigint not null,
    id         bigint not null,            -- a function of vendor, code and minute
    part       bigint not null,
    code       bigint not null,
    crossed_at bigint not null,            -- provider's time, ms
    told       bigint not null,            -- 1 when those who are mailed have their mail in the queue
    body       bytea not null,             -- JSON
    primary key (vendor, id)
);
create index spike_alerts_by_time on spike_alerts (vendor, crossed_at);
create index spike_alerts_untold on spike_alerts (part, vendor, id) where told = 0;

do $$
declare
    name text;
    everything text := $q$(select coalesce(current_setting('affilitrack.all', true), '') = 'on')$q$;
    own text := $q$vendor = (select nullif(current_setting('affilitrack.vendor', true), '')::bigint)$q$;
begin
    foreach name in array array['spike_codes', 'spike_vendors', 'spike_alerts'] loop
        execute format('create policy tenant on %I using (%s or %s)', name, everything, own);
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
    end loop;
end
$$;
