-- Deliveries that the edge refused: the latest of each endpoint, as each process that refused some lists them.
create table failed_deliveries (
  endpoint text collate "C" not null,
  -- A random name of the process.
  writer text collate "C" not null,
  vendor bigint not null,
  -- JSON, without anything of the bodies.
  list text collate "C" not null,
  at bigint not null,
  primary key (endpoint, writer)
);
create index failed_deliveries_by_vendor on failed_deliveries (vendor);
alter table failed_deliveries enable row level security;
alter table failed_deliveries force row level security;
create policy tenant on failed_deliveries using (sees_vendor(vendor));
