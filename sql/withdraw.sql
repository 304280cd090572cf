-- Takes an amount out of a wallet that holds at least as much.
-- Returns applied = true with the balance right after it; applied = false with an untouched balance
-- if the wallet holds less; no row if the wallet does not exist.
--
--   select * from withdraw(1, 42);
--
-- Safe under concurrency: the guard is evaluated again after the row's lock is got, so two
-- withdrawals never take the same money. Wallets are never deleted, so "exists" cannot go stale.
create or replace function withdraw(wallet_id bigint, withdrawal_amount bigint)
returns table (applied boolean, balance bigint)
language sql volatile
as $$
  with withdrawn as (
    update wallets as wallet
    set amount = wallet.amount - withdrawal_amount, changed_at = clock_timestamp()
    where wallet.id = wallet_id and wallet.amount >= withdrawal_amount
    returning wallet.amount
  )
  select true, withdrawn.amount from withdrawn
  union all
  select false, wallet.amount from wallets as wallet
  where wallet.id = wallet_id and not exists (select from withdrawn);
$$;
