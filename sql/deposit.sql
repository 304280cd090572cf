-- Adds an amount to a wallet and makes the wallet if it does not exist.
-- Returns the balance right after it, or no row if that would pass 9223372036854775807.
--
--   select * from deposit(1, 42);
--
-- Safe under concurrency: one atomic upsert. Of two first deposits one inserts and the other waits
-- for it, then adds to it. The limit is checked before adding, under the row's lock, because an
-- overflow would raise 22003.
create or replace function deposit(wallet_id bigint, deposit_amount bigint)
returns table (balance bigint)
language sql volatile
as $$
  insert into wallets as wallet (id, amount, changed_at)
  values (wallet_id, deposit_amount, clock_timestamp())
  on conflict (id) do update
    set amount = wallet.amount + excluded.amount,
        changed_at = excluded.changed_at
    where excluded.amount <= 9223372036854775807 - wallet.amount
  returning wallet.amount;
$$;
