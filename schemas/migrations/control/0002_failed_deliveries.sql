-- Deliveries that the edge refused: the latest of each endpoint, as each process that refused some lists them.
create table failed_deliveries (
  endpoint text not null,
  -- A random name of the process.
  writer text not null,
  vendor integer not null,
  -- JSON, without anything of the bodies.
  list text not null,
  at integer not null,
  primary key (endpoint, writer)
) strict, without rowid;
create index failed_deliveries_by_vendor on failed_deliveries (vendor);
