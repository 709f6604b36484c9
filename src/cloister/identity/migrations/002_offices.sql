-- The offices at work: what was granted to teams, what was revoked, what is asked and answered, what was opened in need.
-- Everything signed stands in a `body`; the columns beside it are only for finding it, and prove nothing to a session.

alter table trust.person drop constraint person_role_check;
alter table trust.person add constraint person_role_check check (role in (
    'doctor', 'nurse', 'access-officer', 'certificate-officer', 'privacy-officer', 'management', 'it-operator', 'program'));

-- A team is a key pair; each generation of it has its own, signed by an access officer.
create table trust.team (
    id text not null,
    generation int not null check (generation >= 1),
    hash bytea not null unique check (length(hash) = 32),
    hospital text not null references trust.hospital,
    name text not null,
    body bytea not null,
    made timestamptz not null default now(),
    primary key (id, generation)
);

-- One person's place in a generation of a team, for one stretch of time; a rota is many of these.
create table trust.membership (
    hash bytea primary key check (length(hash) = 32),
    team text not null,
    generation int not null,
    person text not null references trust.person,
    keeps bool not null default false,  -- to add members with: it opens no zone
    not_before timestamptz not null,
    live_until timestamptz not null,
    body bytea not null,
    revoked timestamptz,
    foreign key (team, generation) references trust.team
);
create index membership_person on trust.membership (person, team) where revoked is null;
create index membership_team on trust.membership (team, generation);

-- Who is granted: a person, or a team.
alter table trust."grant" alter column person drop not null;
alter table trust."grant" add column team text;
alter table trust."grant" add constraint grant_of_one check (num_nonnulls(person, team) = 1);
alter table trust."grant" add column "right" text not null default 'write' check ("right" in ('hold', 'read', 'write'));
alter table trust."grant" add column epoch int not null default 1;
alter table trust."grant" add column not_before timestamptz not null default '-infinity';
alter table trust."grant" add column live_until timestamptz not null default 'infinity';
alter table trust."grant" add column made timestamptz not null default now();
create index grant_team on trust."grant" (team, zone) where revoked is null and team is not null;
create index grant_of_person on trust."grant" (person, zone, seq) where person is not null;
create index grant_of_team on trust."grant" (team, zone, seq) where team is not null;

-- Signed words that something has ended. The column `revoked` of what it names is set in the same statement.
create table trust.revocation (
    hash bytea primary key check (length(hash) = 32),
    kind text not null check (kind in ('certificate', 'grant', 'membership')),
    target bytea not null check (length(target) = 32),
    body bytea not null,
    made timestamptz not null default now()
);
create index revocation_target on trust.revocation (target);
create index revocation_made on trust.revocation (made);

-- What else an epoch's key was sealed for: recovery, break-glass.
create table trust.epoch_seal (
    zone text not null,
    epoch int not null,
    kind text not null check (kind in ('recovery', 'glass')),
    part int not null default 0,
    body bytea not null,
    primary key (zone, epoch, kind, part),
    foreign key (zone, epoch) references trust.epoch
);

-- The letter box between sessions: one asks, others answer from their own sessions, while it is open.
-- `audience` are ids of people and names of roles who may see it and answer. Nothing here is in clear that is a secret.
create table trust.request (
    id text primary key,
    kind text not null,
    zone text,
    person text not null references trust.person,
    session text not null,
    audience text[] not null,
    body bytea not null,
    state text not null default 'open' check (state in ('open', 'granted', 'refused', 'withdrawn', 'expired', 'done')),
    made timestamptz not null default now(),
    until timestamptz not null,
    closed timestamptz,
    closed_by text
);
create index request_open on trust.request (kind, made) where state = 'open';
create index request_person on trust.request (person, made);

create table trust.request_part (
    request text not null references trust.request,
    number int not null,
    person text not null references trust.person,
    kind text not null,
    body bytea not null,
    made timestamptz not null default now(),
    primary key (request, number)
);

-- A zone opened in need: for one session only, for a time, until an officer has looked at it.
create table trust.opening (
    request text primary key references trust.request,
    zone text not null references trust.zone,
    person text not null references trust.person,
    session text not null,
    made timestamptz not null default now(),
    until timestamptz not null,
    ended timestamptz,
    reviewed timestamptz,
    reviewed_by text references trust.person,
    review bytea
);
create index opening_session on trust.opening (session) where ended is null;
create index opening_unreviewed on trust.opening (made) where reviewed is null;

-- The zones that a session may ask for. Keys decide what it can open; this decides what it is handed at all.
-- A grant to hold a key only passes it on, and hands out no row.
create function trust.zones_of(p_person text, p_session text) returns setof text
language sql stable security invoker set search_path = trust, pg_temp as $$
    select g.zone from trust."grant" g
     where g.person = p_person and g.revoked is null and g."right" <> 'hold' and now() between g.not_before and g.live_until
       and exists (select from trust.person p where p.id = p_person and not p.disabled)
    union
    select g.zone from trust.membership m join trust."grant" g on g.team = m.team
     where m.person = p_person and not m.keeps and m.revoked is null and now() between m.not_before and m.live_until
       and g.revoked is null and g."right" <> 'hold' and now() between g.not_before and g.live_until
       and exists (select from trust.person p where p.id = p_person and not p.disabled)
    union
    select o.zone from trust.opening o
     where o.session = p_session and o.person = p_person and o.ended is null and now() < o.until
$$;

grant select, insert on trust.team, trust.membership, trust.revocation, trust.epoch_seal, trust.request, trust.request_part, trust.opening
    to cloister_gate;
grant update (revoked) on trust.membership, trust."grant", trust.certificate to cloister_gate;
grant update (state, closed, closed_by) on trust.request to cloister_gate;
grant update (ended, reviewed, reviewed_by, review) on trust.opening to cloister_gate;
grant execute on function trust.zones_of to cloister_gate;
