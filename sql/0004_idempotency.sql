-- A row is an Idempotency-Key that a wallet has seen, and what its first use was answered. Written
-- in the flight that decided it; removed when it is older than the service promises to keep it.
create table idempotency_keys (
  wallet_id  bigint not null,
  key        text collate "C" not null,
  type       operation_type not null,
  amount     bigint not null,
  -- As apply_operations returned them; the version is null exactly if there is a refusal.
  balance    bigint,
  version    bigint,
  refusal    text,
  created_at timestamptz not null,
  primary key (wallet_id, key)
);

-- To find the oldest.
create index idempotency_keys_created_at on idempotency_keys (created_at);

-- The journal keeps the key for good.
alter table operations add column idempotency_key text collate "C";

-- Whether each answer of the last flight repeats that of an earlier use; null if none does.
alter table flight_slots add column replays boolean[];
