-- Who works on a ward, for those who run the estate: they end or warn a ward's sessions, and read no grant.
create function trust.people_of_ward(p_ward text) returns setof text
language sql stable security definer set search_path = trust, pg_temp as $$
    select g.person from trust.ward w join trust."grant" g on g.zone = w.zone
     where w.id = p_ward and g.person is not null and g.revoked is null and now() between g.not_before and g.live_until
    union
    select m.person from trust.ward w join trust."grant" g on g.zone = w.zone join trust.membership m on m.team = g.team
     where w.id = p_ward and g.revoked is null and now() between g.not_before and g.live_until
       and not m.keeps and m.revoked is null and now() between m.not_before and m.live_until
$$;
revoke execute on function trust.people_of_ward from public;
grant execute on function trust.people_of_ward to cloister_estate;
