-- What was started while the database was away comes in afterwards: once for each person, and only on a licence that was kept for it.
create function estate.adopt(
    new_session text, new_person text, new_role text, new_kind text, new_label text, new_application text, on_server text, in_slot int,
    new_epoch int, new_state text, new_started timestamptz, of_broker text, of_seat int, lease interval
) returns text language plpgsql as $$
declare
    seat int;
begin
    perform pg_advisory_xact_lock(1667787635, hashtext(new_person));
    if exists (select from estate.session s where s.id = new_session) then
        return 'known';
    end if;
    -- What was asked of the database when it was lost, and never reached an agent, is nobody's.
    update estate.session s set state = 'ended', why = 'start-lost', changed = now()
     where s.person = new_person and s.application = new_application and s.label = new_label and s.state = 'starting' and s.slot is null;
    if exists (select from estate.session s where s.person = new_person and s.application = new_application and s.label = new_label
                  and s.state in ('starting', 'locked', 'active', 'disconnected')) then
        return 'double';
    end if;
    -- The agent says who is in this slot now.
    update estate.session s set state = 'ended', why = 'slot-reused', changed = now()
     where s.server = on_server and s.slot = in_slot and s.state <> 'ended';
    insert into estate.session (id, person, role, kind, label, server, slot, epoch, state, started, changed, application, decision)
    values (new_session, new_person, new_role, new_kind, new_label, on_server, in_slot, new_epoch, new_state, new_started, now(),
            new_application, jsonb_build_object('broker', of_broker, 'away', true));
    if exists (select from estate.licence_pool p where p.application = new_application) then
        update estate.licence_seat l set session = new_session, broker = null, expires = now() + lease
         where l.application = new_application and l.number = of_seat and l.broker = of_broker
        returning l.number into seat;
        if seat is null then
            seat := estate.take_seat(new_application, new_session, null, false, random(), lease);
        end if;
        if seat is null then
            update estate.session s set state = 'ended', why = 'licences', changed = now() where s.id = new_session;
            return 'licences';
        end if;
    end if;
    return 'adopted';
end $$;
