-- What was sent to the warehouse: the table of ../../fold/0002_sent_ranges.sql. A release that does not know it leaves
-- gaps between the ranges, which are not verified.

create table sent_ranges (
    part        bigint not null,
    from_off    bigint not null,           -- first log offset of the range
    to_off      bigint not null,           -- one past the last
    at          bigint not null,           -- when the last of it was delivered, ms
    lines       bigint not null,
    rows        bigint not null,           -- of purchases
    redemptions text not null,             -- signed sums over the lines, of all currencies: check figures, not money
    conversions text not null,
    gross       text not null,
    net         text not null,
    commission  text not null,
    primary key (part, from_off)
) with (fillfactor = 50);

-- Sums over all tenants: only the processor sees them.
create policy tenant on sent_ranges using ((select coalesce(current_setting('affilitrack.all', true), '') = 'on'));
alter table sent_ranges enable row level security;
alter table sent_ranges force row level security;
