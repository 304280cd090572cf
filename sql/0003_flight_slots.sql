-- A row is a flight slot of one process: the last flight that was committed through it, and what
-- that flight was answered, so that the same flight sent again is answered alike and applied once.
-- A slot carries one flight at a time. Its row goes when its process ends, or when it is found
-- unused for long: a flight through a slot that is not there is refused, which is always safe.
create table flight_slots (
  slot     uuid primary key,
  -- The number of the last committed flight; 0 before the first.
  sequence bigint not null default 0,
  -- What apply_operations returned for it; null before the first flight.
  balances bigint[],
  versions bigint[],
  refusals text[],
  used_at  timestamptz not null default now()
)
-- Rewritten by every flight, so half of each page is kept free, as in wallets; and swept early,
-- because a few rows become thousands of dead ones in a second.
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- A flight of hundreds of operations has kilobytes of answers, worth neither the time to compress
-- them nor a second table: they live for one flight.
alter table flight_slots set (toast_tuple_target = 8160);
alter table flight_slots
  alter balances set storage main,
  alter versions set storage main;
