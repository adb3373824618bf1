-- Up to where a partition may be shown: the table of ../../fold/0003_held.sql. Nothing of a tenant is in it. A release that
-- does not know it tells only those that are there already.

create table held (
    part        bigint primary key,
    next_off    bigint not null,           -- nothing from this offset on is shown
    at          bigint not null            -- when what is shown became visible, ms
);
