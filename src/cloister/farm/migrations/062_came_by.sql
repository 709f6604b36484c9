-- By which gateways a session was entered: whoever signed in, or fetched a token of it. So that all of one gateway can be ended.
create table estate.came_by (
    session  text not null references estate.session (id) on delete cascade,
    gateway  text not null check (length(gateway) between 1 and 64),
    first    timestamptz not null default now(),
    primary key (session, gateway)
);
create index came_by_gateway on estate.came_by (gateway);

-- A session that comes after one that died says so to its person.
create index session_of_person on estate.session (person, started);

grant select, insert, update, delete on estate.came_by to cloister_estate;
