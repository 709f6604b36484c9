-- What is published, and on which servers; what a server is kept from, and why. docs/farm.md.
create table estate.application (
    id            text primary key,
    name          text not null,
    kind          text not null check (kind in ('record', 'desktop', 'window', 'windows')),
    settings      jsonb not null default '{}',
    sessions_max  int check (sessions_max > 0),
    each_max      int not null default 1 check (each_max > 0)
);
insert into estate.application (id, name, kind) values ('record', 'Patient record', 'record');

create table estate.delivery_group (
    id            text primary key,
    name          text not null default '',
    hospital      text not null default '',
    image         text not null default '',
    applications  text[] not null default '{record}',
    tolerance     int not null default 4 check (tolerance > 0),
    server_max    int check (server_max > 0)
);
insert into estate.delivery_group (id, name) values ('default', 'Every server that names no group');

alter table estate.server
    drop constraint server_state_check,
    add constraint server_state_check check (state in ('starting', 'ready', 'draining', 'maintenance', 'unhealthy', 'off')),
    add column why text not null default '',
    add column memory real not null default 0,
    add column groups text[] not null default '{default}',
    add column image text not null default '';

alter table estate.session add column application text not null default 'record' references estate.application (id);

-- A person has one live session of each application; a program one for each of its labels.
drop index estate.session_live_of_person;
create unique index session_live_of_person on estate.session (person, application, label)
    where state in ('starting', 'locked', 'active', 'disconnected');
create index session_of_server on estate.session (server) where state <> 'ended';

grant select, insert, update, delete on estate.application, estate.delivery_group to cloister_estate;
