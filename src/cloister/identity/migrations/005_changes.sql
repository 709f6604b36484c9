-- Whoever changes what somebody may open says so in the same transaction; every store gate listens (gate/changes.py).
-- A notice is a hint and no proof: sessions verify the signed objects that they fetch because of it.
--   gone <person>   something of this person's was revoked, or the person may not sign in any more
--   came <person>   something was granted to this person
--   team <team>     something was granted to this team, or taken from it
--   zone <zone>     the zone has a new epoch

create function trust.say(p_what text, p_whom text) returns void language sql security invoker set search_path = pg_catalog as $$
    select pg_notify('cloister_trust', p_what || ' ' || p_whom) where p_whom is not null
$$;

create function trust.grant_changed() returns trigger language plpgsql security invoker set search_path = trust, pg_temp as $$
begin
    perform trust.say(case when tg_op = 'INSERT' then 'came' else 'gone' end, new.person);
    perform trust.say('team', new.team);
    return null;
end
$$;
create trigger grant_made after insert on trust."grant" for each row execute function trust.grant_changed();
create trigger grant_ended after update of revoked on trust."grant"
    for each row when (new.revoked is not null) execute function trust.grant_changed();

create function trust.membership_changed() returns trigger language plpgsql security invoker set search_path = trust, pg_temp as $$
begin
    perform trust.say(case when tg_op = 'INSERT' then 'came' else 'gone' end, new.person);
    return null;
end
$$;
create trigger membership_made after insert on trust.membership for each row execute function trust.membership_changed();
create trigger membership_ended after update of revoked on trust.membership
    for each row when (new.revoked is not null) execute function trust.membership_changed();

create function trust.person_gone() returns trigger language plpgsql security invoker set search_path = trust, pg_temp as $$
begin
    perform trust.say('gone', case when tg_table_name = 'person' then to_jsonb(new) ->> 'id' else to_jsonb(new) ->> 'person' end);
    return null;
end
$$;
create trigger person_disabled after update of disabled on trust.person
    for each row when (new.disabled) execute function trust.person_gone();
create trigger certificate_ended after update of revoked on trust.certificate
    for each row when (new.revoked is not null) execute function trust.person_gone();
create trigger opening_ended after update of ended on trust.opening
    for each row when (new.ended is not null) execute function trust.person_gone();

create function trust.epoch_made() returns trigger language plpgsql security invoker set search_path = trust, pg_temp as $$
begin
    perform trust.say('zone', new.zone);
    return null;
end
$$;
create trigger epoch_made after insert on trust.epoch for each row when (new.epoch > 1) execute function trust.epoch_made();

grant execute on function trust.say to cloister_gate;
