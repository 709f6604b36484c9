-- Whose turn of a rota begins soon, for those who run the estate: sessions are started before the shift. No zone and no team is told.
create function trust.turns_beginning(p_from timestamptz, p_to timestamptz) returns setof text
language sql stable security definer set search_path = trust, pg_temp as $$
    select distinct m.person from trust.membership m
     where not m.keeps and m.revoked is null and m.not_before > p_from and m.not_before <= p_to and m.live_until > p_to
$$;
revoke execute on function trust.turns_beginning from public;
grant execute on function trust.turns_beginning to cloister_estate;
