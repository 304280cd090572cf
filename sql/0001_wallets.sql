-- A row is one wallet: the sum of its operations. Made by its first deposit and never deleted.
create table wallets (
  id         bigint primary key,
  -- Balance in the smallest unit of the wallet's currency. The check is the last guard against a
  -- bug; the ledger refuses before.
  amount     bigint not null check (amount >= 0),
  -- How many operations were applied: the version of the last one.
  version    bigint not null,
  -- When the last one was applied.
  changed_at timestamptz not null
)
-- Every flight updates its wallets in place. Half of each page left free keeps those updates HOT:
-- no new index entry, and the dead versions are swept when the page is next visited.
with (fillfactor = 50);
