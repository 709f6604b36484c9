-- The VPN as people and operators see it: where it runs, and which tunnels stand. Written by the VPN's own part, three times a second at most.
create table estate.vpn (
    server   text primary key,
    seen     timestamptz not null default now()
);

create table estate.tunnel (
    server   text not null references estate.vpn (server) on delete cascade,
    id       bigint not null,                -- ocserv's own number
    person   text not null,
    role     text not null,
    address  text not null,                  -- inside
    origin   text not null,                  -- outside
    since    timestamptz not null default now(),
    ending   bool not null default false,    -- somebody has asked for its end
    primary key (server, id)
);
create index tunnel_of_person on estate.tunnel (person);

grant select, insert, update, delete on estate.vpn to cloister_estate;
grant select, insert, update, delete on estate.tunnel to cloister_estate;
