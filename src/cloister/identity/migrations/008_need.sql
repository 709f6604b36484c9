-- Break-glass: an opening is heard of at once, as its end is, so that the gate hands out the zone's rows without waiting.

create function trust.opening_made() returns trigger language plpgsql security invoker set search_path = trust, pg_temp as $$
begin
    perform trust.say('came', new.person);
    return null;
end
$$;
create trigger opening_made after insert on trust.opening for each row execute function trust.opening_made();
