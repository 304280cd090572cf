-- The version that a wallet had at a time: that of its last operation not later, or null if it had
-- none yet. Versions have no gap and times do not decrease with them, so halving the range finds it
-- with twenty look-ups in a journal of a million operations, and needs no second index.
create or replace function version_at(wallet bigint, moment timestamptz) returns bigint
language plpgsql stable set search_path from current as $$
declare
  -- Operation `low` is not later than the moment, operation `high` is, or does not exist.
  low    bigint := 0;
  high   bigint := (select w.version + 1 from wallets as w where w.id = wallet);
  middle bigint;
begin
  while low + 1 < high loop
    middle := (low + high) / 2;
    if (select o.created_at <= moment from operations as o
        where o.wallet_id = wallet and o.version = middle) then
      low := middle;
    else
      high := middle;
    end if;
  end loop;
  return nullif(low, 0);
end
$$;

revoke execute on function version_at from public;
