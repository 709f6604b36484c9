-- Several machines: who belongs to the estate, by which certificate, through which one-time token; and who has a line to whom.
create table estate.join_token (
    id        text primary key,
    hash      bytea not null check (length(hash) = 32),
    kind      text not null check (kind in ('server', 'controller')),
    made      timestamptz not null default now(),
    expires   timestamptz not null,
    used      timestamptz,
    used_by   text,
    used_key  bytea
);

create table estate.machine (
    id        text primary key,
    kind      text not null check (kind in ('server', 'controller')),
    key       bytea not null check (length(key) = 32),
    token     text not null,
    address   text not null,
    port      int not null check (port between 1 and 65535),
    joined    timestamptz not null default now(),
    removed   timestamptz
);

create table estate.machine_certificate (
    serial    text primary key,
    machine   text not null references estate.machine (id),
    ends      timestamptz not null,
    revoked   timestamptz
);
create index machine_certificate_of on estate.machine_certificate (machine);

-- A controller says each second that it lives; a line is a server's open connection to a controller.
create table estate.controller (
    id        text primary key references estate.machine (id),
    keeper    boolean not null default false,
    seen      timestamptz not null
);
create table estate.line (
    server      text not null,
    controller  text not null references estate.controller (id),
    since       timestamptz not null default now(),
    primary key (server, controller)
);

grant select, insert, update, delete on estate.join_token, estate.machine, estate.machine_certificate, estate.controller, estate.line
    to cloister_estate;

-- For store gates, which know nothing else of the estate. A session is elsewhere when it has ended, or another server has it.
-- One that was given up with a silent server counts as ended only once its person has another.
create function estate.elsewhere(p_server text, p_sessions text[]) returns setof text
language sql stable security definer set search_path = estate, pg_temp as $$
    select s.id from estate.session s
     where s.id = any (p_sessions)
       and (s.server <> p_server
            or s.state = 'ended' and (s.why <> 'server-lost' or exists (
                select from estate.session o where o.person = s.person and o.application = s.application and o.label = s.label
                   and o.state in ('starting', 'locked', 'active', 'disconnected'))))
     order by s.id
$$;
create function estate.machine_stands(p_machine text, p_serial text) returns boolean
language sql stable security definer set search_path = estate, pg_temp as $$
    select exists (select from estate.machine m join estate.machine_certificate c on c.machine = m.id
                    where m.id = p_machine and m.removed is null and c.serial = p_serial and c.revoked is null)
$$;
revoke execute on function estate.elsewhere, estate.machine_stands from public;
do $$ begin
    if exists (select from pg_roles where rolname = 'cloister_gate') then
        grant usage on schema estate to cloister_gate;
        grant execute on function estate.elsewhere, estate.machine_stands to cloister_gate;
    end if;
end $$;
