-- Applies one flight: any number of operations on any wallets, in the order given, all in the
-- caller's transaction. The only place that changes money.
--
-- amounts are signed: 42 deposits, -42 withdraws. The others may be null, or null for an operation:
--   keys           the same wallet and key again is answered as it was at first, if the amount is
--                  the same, and changes nothing
--   if_match       '*' if the wallet must exist, else an array of versions such as '{3,5}', of
--                  which it must be at one
--   if_none_match  the contrary
-- For each operation, at its place, it returns
--   balances  the wallet's balance right after it, or, if it was refused, at that moment;
--             null if there is no such wallet
--   versions  the wallet's version that the operation made; null if it was refused
--   refusals  null, or insufficient_funds, wallet_not_found, balance_limit, precondition_failed,
--             key_reused; null as a whole if nothing was refused
--   replays   true if it is the answer to an earlier use of the key; null as a whole if none is
--
--   insert into flight_slots (slot) values ('3f1e0c7a-0000-4000-8000-000000000001');
--   select * from apply_operations(
--     7, '3f1e0c7a-0000-4000-8000-000000000001', 1, '{7,7}', '{42,-50}');
--
-- Errors: WS001 when the slot does not exist, WS002 when it carried a later flight already. Neither
-- has an effect. The same slot and sequence again returns the stored answers and applies nothing.
-- first_wallet is the first of wallet_ids, by which a sharded database would find its way.
--
-- Safe under concurrency: the slot's lock makes copies of one flight wait for each other, and the
-- wallets' locks, taken in id order, serialize all flights that share a wallet. What is read under
-- those locks stays true until the commit. Only a wallet that does not exist has no lock: if two
-- flights record one key of it at once, the later fails with 23505, changes nothing, and can be
-- sent again.
--
-- It runs with the rights of its owner, over the schema that it was made in and nothing before it:
-- the migration sets a search_path that ends in pg_temp.
create or replace function apply_operations(
  first_wallet bigint, flight_slot uuid, flight_sequence bigint,
  wallet_ids bigint[], amounts bigint[],
  keys text[] default null, if_match text[] default null, if_none_match text[] default null,
  out balances bigint[], out versions bigint[], out refusals text[], out replays boolean[]
)
language plpgsql volatile security definer set search_path from current as $$
declare
  balance_max  constant bigint := 9223372036854775807;
  last_flight  bigint;
  shape        text;
  one_wallet   boolean;
  -- Whether no operation has a condition, or a key that is known.
  plain        boolean;
  applied_at   timestamptz;
  -- The wallets of this flight in id order: as they were locked, and as the fold leaves them.
  ids          bigint[];
  old_amounts  bigint[];
  old_versions bigint[];
  new_amounts  bigint[];
  new_versions bigint[];
  -- The wallet that the fold is at: its id, its place in the arrays, its state.
  here         bigint;
  place        integer;
  here_amount  bigint;
  here_version bigint;
  change       bigint;
  refusal      text;
  i            integer := 0;
  -- Of each operation with a key: the place at which this flight first uses it, and at that
  -- place what the key is known to be answered; no amount before its first use.
  firsts         bigint[];
  known_amounts  bigint[];
  known_balances bigint[];
  known_versions bigint[];
  known_refusals text[];
  first_use    bigint;
  -- Whether the key at hand was used for the same operation; null if it is new, or there is none.
  replay       boolean;
  -- Whether an operation is the first use of its key; null if all are.
  fresh        boolean[];
  net          bigint;
  -- Wallets that the fold changed, and those that were written.
  changed      bigint := 0;
  grown        bigint := 0;
  shrunk       bigint := 0;
begin
  -- 1. The slot, and whether this flight was committed already.
  select slot.sequence into last_flight
  from flight_slots as slot where slot.slot = flight_slot for update;
  if last_flight is null then
    raise 'flight slot % does not exist', flight_slot using errcode = 'WS001';
  elsif last_flight > flight_sequence then
    raise 'flight % was followed by % already', flight_sequence, last_flight
      using errcode = 'WS002';
  elsif last_flight = flight_sequence then
    select slot.balances, slot.versions, slot.refusals, slot.replays
    into balances, versions, refusals, replays
    from flight_slots as slot where slot.slot = flight_slot;
    return;
  end if;
  -- Whoever may call this may call it with anything. What follows reads arrays both by place and in
  -- order, which is the same only for those that begin at 1, in one dimension, without a gap.
  shape := array_dims(wallet_ids);
  if shape is distinct from format('[1:%s]', cardinality(wallet_ids))
    or shape is distinct from array_dims(amounts)
    or (shape <> array_dims(keys)) is true
    or (shape <> array_dims(if_match)) is true
    or (shape <> array_dims(if_none_match)) is true
    or first_wallet is distinct from wallet_ids[1]
    or array_position(wallet_ids, null) is not null
    or (0 = any (amounts)) is not false then
    raise 'Bug: every operation needs a wallet and an amount other than 0';
  end if;

  -- An operation that flies alone, as all do at low load, has no neighbours to be folded with: the
  -- atomic upsert or the guarded decrement is all it takes. If the guard holds it back, the long
  -- way finds out why.
  plain := if_match is null and if_none_match is null;
  if plain and keys is null and cardinality(amounts) = 1 then
    change := amounts[1];
    if change > 0 then
      insert into wallets as w (id, amount, version, changed_at)
      values (first_wallet, change, 1, clock_timestamp())
      on conflict (id) do update
        set amount = w.amount + excluded.amount,
            version = w.version + 1,
            changed_at = greatest(clock_timestamp(), w.changed_at)
        where w.amount <= balance_max - excluded.amount
      returning w.amount, w.version, w.changed_at into here_amount, here_version, applied_at;
    else
      update wallets as w
      set amount = w.amount + change,
          version = w.version + 1,
          changed_at = greatest(clock_timestamp(), w.changed_at)
      where w.id = first_wallet and w.amount >= -change
      returning w.amount, w.version, w.changed_at into here_amount, here_version, applied_at;
    end if;
    if found then
      insert into operations (wallet_id, version, type, amount, balance, created_at)
      values (first_wallet, here_version,
        case when change > 0 then operation_type 'DEPOSIT' else 'WITHDRAW' end,
        abs(change), here_amount, applied_at);
      balances := array[here_amount];
      versions := array[here_version];
      update flight_slots as slot
      set sequence = flight_sequence,
          balances = apply_operations.balances,
          versions = apply_operations.versions,
          refusals = null,
          replays = null,
          used_at = now()
      where slot.slot = flight_slot;
      return;
    end if;
  end if;

  -- 2. The wallets, locked in id order, so that flights never wait for each other in a circle.
  -- What does not exist cannot be locked, and two first deposits at once would both count from
  -- zero: so each wallet with a deposit is first given a row at version 0, before any lock is
  -- taken. From zero no amount can pass the limit, so only a key or a condition can keep that
  -- deposit from it; then the row goes again before the end.
  one_wallet := first_wallet = all (wallet_ids);
  if one_wallet then
    loop
      select w.amount, w.version, greatest(clock_timestamp(), w.changed_at)
      into here_amount, here_version, applied_at
      from wallets as w where w.id = first_wallet for update;
      exit when found or 0 > all (amounts);
      insert into wallets (id, amount, version, changed_at)
      values (first_wallet, 0, 0, '-infinity') on conflict do nothing;
    end loop;
    ids := wallet_ids[:1];
    here := first_wallet;
    place := 1;
    here_amount := coalesce(here_amount, 0);
    here_version := coalesce(here_version, 0);
    old_amounts[1] := here_amount;
    old_versions[1] := here_version;
  else
    insert into wallets (id, amount, version, changed_at)
    select distinct o.id, 0, 0, '-infinity'::timestamptz
    from unnest(wallet_ids, amounts) as o (id, amount)
    where o.amount > 0 order by o.id
    on conflict do nothing;

    select array_agg(w.id), array_agg(w.amount), array_agg(w.version),
      greatest(clock_timestamp(), max(w.changed_at))
    into ids, old_amounts, old_versions, applied_at
    from (
      select w.id, w.amount, w.version, w.changed_at from wallets as w
      where w.id = any (wallet_ids) order by w.id for update
    ) as w;
    new_amounts := old_amounts;
    new_versions := old_versions;
  end if;

  -- 3. What the keys are known to be answered. Nearly always all of them are new, which on one
  -- wallet a single scan finds out: a flight of 64 new keys takes 0.95 ms instead of 1.15.
  if keys is not null and (
    not one_wallet
    or (select count(u.key) > count(distinct u.key) from unnest(keys) as u (key))
    or exists (
      select from idempotency_keys as k where k.wallet_id = first_wallet and k.key = any (keys)
    )
  ) then
    plain := false;
    select array_agg(case when o.key is not null then o.first end order by o.place),
      array_agg(case k.type when 'DEPOSIT' then k.amount else -k.amount end order by o.place),
      array_agg(k.balance order by o.place), array_agg(k.version order by o.place),
      array_agg(k.refusal order by o.place)
    into firsts, known_amounts, known_balances, known_versions, known_refusals
    from (
      select u.*, min(u.place) over (partition by u.wallet_id, u.key) as first
      from unnest(wallet_ids, keys) with ordinality as u (wallet_id, key, place)
    ) as o
    -- One look-up for each: a join, planned while the table is small, may read all of it.
    left join lateral (
      select * from idempotency_keys as one
      where one.wallet_id = o.wallet_id and one.key = o.key limit 1
    ) as k on true;
    fresh := array_fill(false, array[cardinality(amounts)]);
  end if;

  -- 4. The fold, in the order given. Plain variables hold the wallet at hand, because they cost a
  -- fraction of array elements; the next wallet swaps them. What the ledger would say is judged
  -- first, but a condition has precedence, and a key over both.
  balances := amounts;
  versions := amounts;
  foreach change in array amounts loop
    i := i + 1;
    if wallet_ids[i] is distinct from here then
      if place is not null then
        new_amounts[place] := here_amount;
        new_versions[place] := here_version;
      end if;
      here := wallet_ids[i];
      place := array_position(ids, here);
      here_amount := coalesce(new_amounts[place], 0);
      here_version := coalesce(new_versions[place], 0);
    end if;
    refusal := case
      when here_version = 0 and change < 0 then 'wallet_not_found'
      when here_amount < -change then 'insufficient_funds'
      when change > balance_max - here_amount then 'balance_limit'
    end;
    if not plain then
      first_use := firsts[i];
      replay := known_amounts[first_use] = change;
      refusal := case
        when replay then known_refusals[first_use]
        when not replay then 'key_reused'
        when not case if_match[i] when '*' then here_version > 0
          else here_version = any (if_match[i]::bigint[]) end then 'precondition_failed'
        when case if_none_match[i] when '*' then here_version > 0
          else here_version = any (if_none_match[i]::bigint[]) end then 'precondition_failed'
        else refusal
      end;
    end if;
    if replay then
      balances[i] := known_balances[first_use];
      versions[i] := known_versions[first_use];
      replays := coalesce(replays, array_fill(false, array[cardinality(amounts)]));
      replays[i] := true;
    elsif refusal is null then
      if here_version = old_versions[place] then
        changed := changed + 1;
      end if;
      here_amount := here_amount + change;
      here_version := here_version + 1;
      versions[i] := here_version;
      balances[i] := here_amount;
    else
      balances[i] := case when here_version > 0 then here_amount end;
      versions[i] := null;
    end if;
    if refusal is not null then
      refusals := coalesce(refusals, array_fill(null::text, array[cardinality(amounts)]));
      refusals[i] := refusal;
    end if;
    if first_use = i and replay is null then
      known_amounts[i] := change;
      known_balances[i] := balances[i];
      known_versions[i] := versions[i];
      known_refusals[i] := refusal;
      fresh[i] := true;
    end if;
  end loop;
  if place is not null then
    new_amounts[place] := here_amount;
    new_versions[place] := here_version;
  end if;

  -- 5. The journal, and the new keys beside it; these by wallet, because nothing else makes two
  -- flights wait in order for the keys of wallets that do not exist.
  insert into operations
    (wallet_id, version, type, amount, balance, created_at, idempotency_key)
  select o.wallet_id, o.version,
    case when o.amount > 0 then operation_type 'DEPOSIT' else 'WITHDRAW' end,
    abs(o.amount), o.balance, applied_at, o.key
  from (
    select unnest(wallet_ids) as wallet_id, unnest(versions) as version,
      unnest(amounts) as amount, unnest(balances) as balance,
      unnest(keys) as key, unnest(replays) as replay
  ) as o
  where o.version is not null and o.replay is not true;

  if keys is not null then
    insert into idempotency_keys
      (wallet_id, key, type, amount, balance, version, refusal, created_at)
    select o.wallet_id, o.key,
      case when o.amount > 0 then operation_type 'DEPOSIT' else 'WITHDRAW' end,
      abs(o.amount), o.balance, o.version, o.refusal, coalesce(applied_at, clock_timestamp())
    from (
      select unnest(wallet_ids) as wallet_id, unnest(keys) as key, unnest(amounts) as amount,
        unnest(balances) as balance, unnest(versions) as version, unnest(refusals) as refusal,
        unnest(fresh) as fresh
    ) as o
    where o.key is not null and o.fresh is not false order by o.wallet_id;
  end if;

  -- 6. The wallets, each once: what grew by the atomic upsert, what shrank by the guarded
  -- decrement. Under the locks each must hit its row; anything else undoes the flight.
  if not one_wallet then
    insert into wallets as w (id, amount, version, changed_at)
    select f.id, f.new_amount - f.old_amount, f.new_version - f.old_version, applied_at
    from unnest(ids, old_amounts, new_amounts, old_versions, new_versions)
      as f (id, old_amount, new_amount, old_version, new_version)
    where f.new_version > f.old_version and f.new_amount >= f.old_amount
    on conflict (id) do update
      set amount = w.amount + excluded.amount,
          version = w.version + excluded.version,
          changed_at = excluded.changed_at;
    get diagnostics grown = row_count;

    if 0 > any (amounts) then
      update wallets as w
      set amount = w.amount - (f.old_amount - f.new_amount),
          version = f.new_version,
          changed_at = applied_at
      from unnest(ids, old_amounts, new_amounts, old_versions, new_versions)
        as f (id, old_amount, new_amount, old_version, new_version)
      where f.new_version > f.old_version and f.new_amount < f.old_amount
        and w.id = f.id and w.amount >= f.old_amount - f.new_amount;
      get diagnostics shrunk = row_count;
    end if;
  elsif here_version > old_versions[1] then
    net := here_amount - old_amounts[1];
    if net >= 0 then
      insert into wallets as w (id, amount, version, changed_at)
      values (first_wallet, net, here_version - old_versions[1], applied_at)
      on conflict (id) do update
        set amount = w.amount + excluded.amount,
            version = w.version + excluded.version,
            changed_at = excluded.changed_at;
    else
      update wallets as w
      set amount = w.amount + net, version = here_version, changed_at = applied_at
      where w.id = first_wallet and w.amount >= -net;
    end if;
    get diagnostics grown = row_count;
  end if;
  if grown + shrunk <> changed then
    raise 'Bug: % wallets changed, but % were written', changed, grown + shrunk;
  end if;
  if not plain then
    delete from wallets as w where w.id = any (ids) and w.version = 0;
  end if;

  -- 7. The answers, kept with the slot.
  update flight_slots as slot
  set sequence = flight_sequence,
      balances = apply_operations.balances,
      versions = apply_operations.versions,
      refusals = apply_operations.refusals,
      replays = apply_operations.replays,
      used_at = now()
  where slot.slot = flight_slot;
end
$$;

revoke execute on function apply_operations(
  bigint, uuid, bigint, bigint[], bigint[], text[], text[], text[]
) from public;
