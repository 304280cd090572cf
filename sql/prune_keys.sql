-- Forgets some of the oldest idempotency keys that are past their time; never one that is younger
-- than a day. They are found once, and then by where they lie: joined by their key instead, every
-- step went through the whole table, for which PostgreSQL chose a hash join whenever it was small,
-- or had been when the statement was planned. Safe under concurrency: a key that another
-- transaction holds is left to the next step.
-- Returns how many were forgotten.
create or replace function prune_keys(ttl_hours integer, at_most integer) returns integer
language plpgsql volatile security definer set search_path from current as $$
declare
  forgotten integer;
begin
  delete from idempotency_keys where ctid = any (array(
    select ctid from idempotency_keys
    where created_at < now() - make_interval(hours => greatest(ttl_hours, 24))
    order by created_at limit at_most for update skip locked
  ));
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;

revoke execute on function prune_keys from public;
