-- Messages of other systems that could not be written, sealed to the zone that they were meant for (docs/spec/zones.md 28).
-- `message` and `lines` are keyed hashes: the message's sender and number, and whom it is about, for keeping the order.

create table care.parked (
    zone text not null,
    id uuid not null,
    no bigint generated always as identity,
    message bytea not null check (length(message) = 16),
    lines bytea[] not null,
    hash bytea not null check (length(hash) = 32),
    epoch int4 not null,
    reason text not null,
    state text not null default 'waiting' check (state in ('waiting', 'done', 'dropped')),
    tries int4 not null default 0,
    body bytea not null,
    author text not null,
    made timestamptz not null default now(),
    closed timestamptz,
    closed_by text,
    primary key (zone, id),
    unique (zone, message)
);
create index parked_waiting on care.parked (zone, no) where state = 'waiting';
alter table care.parked alter body set storage external;

-- Which session takes a message, or one about the same patient, at this moment.
create table care.parked_line (
    zone text not null,
    line bytea not null check (length(line) = 16),
    session text not null,
    until timestamptz not null,
    primary key (zone, line)
);

grant select, insert, update, delete on care.parked_line to cloister_gate;
grant select, insert, update on care.parked to cloister_gate;
