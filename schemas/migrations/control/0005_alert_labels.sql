-- What people said an alert of the spike detector was. The alert itself is in the fold store, under the same id also after
-- everything was folded again.
create table alert_labels (
  vendor integer not null references vendors (id) on delete cascade,
  alert integer not null,
  -- 'expected', 'fraud', 'unclear'.
  label text not null,
  actor text not null,
  decided_at integer not null,
  primary key (vendor, alert)
) strict, without rowid;
