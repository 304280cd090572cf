-- A row is one applied operation; together they are the journal. Never updated, never deleted.
-- There are no checks beside the key: a check is parsed again for every flight, and `bun run audit`
-- proves far more.
create type operation_type as enum ('DEPOSIT', 'WITHDRAW');

create table operations (
  wallet_id  bigint not null,
  -- 1, 2, 3, … within the wallet, without a gap, in the order in which they were applied.
  version    bigint not null,
  type       operation_type not null,
  -- Always positive: the type says the direction.
  amount     bigint not null,
  -- The wallet's balance right after this operation.
  balance    bigint not null,
  -- Within a wallet it never decreases with the version, whatever the clock does.
  created_at timestamptz not null,
  primary key (wallet_id, version)
);
