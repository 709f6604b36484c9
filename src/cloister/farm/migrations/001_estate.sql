-- The estate: servers that reported in, and sessions. No patient data, no keys.
create schema estate;

do $$ begin
    if not exists (select from pg_roles where rolname = 'cloister_estate') then
        create role cloister_estate nologin;
    end if;
end $$;

create table estate.server (
    id       text primary key,
    slots    int not null check (slots > 0),
    state    text not null check (state in ('ready', 'draining', 'off')),
    free     int not null,
    load     real not null default 0,
    missing  jsonb not null default '[]',
    seen     timestamptz not null
);

create table estate.session (
    id       text primary key,
    person   text not null,
    role     text not null,
    kind     text not null check (kind in ('person', 'program')),
    label    text not null default '',
    server   text not null references estate.server (id),
    slot     int,
    epoch    int not null default 1,
    state    text not null check (state in ('starting', 'locked', 'active', 'disconnected', 'ending', 'ended')),
    why      text not null default '',
    started  timestamptz not null,
    changed  timestamptz not null
);

-- One live session a person; a program has one for each label. Holds with several controllers too.
create unique index session_live_of_person on estate.session (person, label)
    where state in ('starting', 'locked', 'active', 'disconnected');
create unique index session_of_slot on estate.session (server, slot)
    where slot is not null and state in ('starting', 'locked', 'active', 'disconnected', 'ending');
create index session_changed on estate.session (changed);

grant usage on schema estate to cloister_estate;
grant select, insert, update, delete on estate.server, estate.session to cloister_estate;
