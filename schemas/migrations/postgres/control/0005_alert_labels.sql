-- What people said an alert of the spike detector was. The alert itself is in the fold store, under the same id also after
-- everything was folded again.
create table alert_labels (
  vendor bigint not null references vendors (id) on delete cascade,
  alert bigint not null,
  -- 'expected', 'fraud', 'unclear'.
  label text collate "C" not null,
  actor text collate "C" not null,
  decided_at bigint not null,
  primary key (vendor, alert)
);

alter table alert_labels enable row level security;
alter table alert_labels force row level security;
create policy tenant on alert_labels using (sees_vendor(vendor));
