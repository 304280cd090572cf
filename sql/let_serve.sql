-- Gives a role what the workers need, and no more: it reads everything, registers and gives up
-- flight slots, and calls the functions, which run with their owner's rights. So whoever has its
-- password can move money only as an operation that the journal has, and can change no balance, no
-- journal and no key behind it. Of keys it can forget those that are older than a day.
create or replace procedure let_serve(service_role text)
language plpgsql set search_path from current as $$
begin
  execute format('grant usage on schema %I to %I', current_schema(), service_role);
  execute format(
    'grant select on wallets, operations, idempotency_keys, flight_slots, schema_files to %I',
    service_role);
  execute format('grant insert (slot), delete on flight_slots to %I', service_role);
  execute format(
    'grant execute on function version_at, prune_keys,
       apply_operations(
         bigint, uuid, bigint, bigint[], bigint[], text[], text[], text[],
         out bigint[], out bigint[], out text[], out boolean[])
     to %I', service_role);
end
$$;

revoke execute on procedure let_serve from public;
