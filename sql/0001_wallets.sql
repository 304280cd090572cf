-- A row is one wallet. It is made by its first deposit and never deleted.
create table wallets (
  id         bigint primary key check (id >= 1),
  -- Balance in the smallest unit of the wallet's currency.
  amount     bigint not null check (amount >= 0),
  -- When the last operation was applied.
  changed_at timestamptz not null
)
-- Every operation updates a row in place. Half of each page left free keeps those updates HOT: no
-- new index entry, and the dead versions are swept when the page is next visited.
with (fillfactor = 50);
