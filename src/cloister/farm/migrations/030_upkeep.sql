-- Upkeep: why a server is given nobody, what ails it, windows and rolling maintenance; who of several controllers acts. docs/power.md.
create table estate.lease (
    name    text primary key,
    holder  text not null,
    until   timestamptz not null
);

-- A server may be kept empty for several reasons at once; it is ready again when the last of them is gone.
create table estate.drain (
    server    text not null references estate.server (id) on delete cascade,
    cause     text not null check (cause in ('operator', 'rolling', 'power')),
    by_whom   text not null,
    asked     timestamptz not null,
    deadline  timestamptz,
    message   text not null default '',
    leave     int not null default 300 check (leave >= 0),
    told      timestamptz,
    primary key (server, cause)
);

create table estate.health (
    server    text primary key references estate.server (id) on delete cascade,
    facts     jsonb not null default '{}',
    instance  text not null default '',
    started   timestamptz not null
);
create table estate.illness (
    server      text primary key references estate.server (id) on delete cascade,
    ailment     text not null,
    since       timestamptz not null,
    well_since  timestamptz
);

create table estate.maintenance_window (
    id        text primary key,
    grp       text not null,
    days      text[] not null default '{}',
    on_date   date,
    start     int not null check (start between 0 and 1439),
    minutes   int not null check (minutes between 5 and 720),
    zone      text not null,
    percent   int not null check (percent between 1 and 100),
    deadline  int not null check (deadline between 0 and 86400),
    message   text not null default '',
    restart   boolean not null default true,
    last      timestamptz
);
create table estate.rolling (
    id        text primary key,
    grp       text not null,
    percent   int not null check (percent between 1 and 100),
    deadline  int not null check (deadline between 0 and 604800),
    message   text not null default '',
    restart   boolean not null,
    by_whom   text not null,
    began     timestamptz not null,
    ended     timestamptz
);
create unique index rolling_of_group on estate.rolling (grp) where ended is null;
create table estate.rolling_member (
    rolling  text not null references estate.rolling (id) on delete cascade,
    server   text not null references estate.server (id) on delete cascade,
    turn     text not null check (turn in ('waiting', 'emptying', 'out', 'done', 'failed')),
    since    timestamptz not null,
    primary key (rolling, server)
);

grant select, insert, update, delete on estate.lease, estate.drain, estate.health, estate.illness, estate.maintenance_window,
    estate.rolling, estate.rolling_member to cloister_estate;
