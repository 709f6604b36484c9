-- Programs whose tokens are bound to a key of theirs (RFC 9449 5.2), and each program's pace, counted in one place for all of its sessions.
alter table estate.client add column bound bool not null default false;

create table estate.client_pace (
    client   text primary key,               -- the person id of the program
    left_now double precision not null,      -- requests that may be taken at once
    at       timestamptz not null
);

grant select, insert, update, delete on estate.client_pace to cloister_estate;
