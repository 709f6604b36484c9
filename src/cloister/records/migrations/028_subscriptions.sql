-- Subscriptions: which resources of a type were written since somebody asked, and how many notifications are due to whom.
-- docs/subscriptions.md. Criteria are sealed; what the database knows is the type, the program, and that something matched.

do $$
begin
    if not exists (select from pg_roles where rolname = 'cloister_outbound') then
        create role cloister_outbound nologin;
    end if;
end
$$;

-- `ver` is the resource's newest version; `state` is the status that it says, 'requested' until its owner's session has looked
-- at that version. `rtype` and `owner` are null until it was active once.
create table care.subscription (
    dossier uuid not null,
    id uuid not null,
    ver int4 not null,
    state text not null default 'requested' check (state in ('requested', 'active', 'error', 'off')),
    rtype int2,
    owner text,
    primary key (dossier, id)
);

-- A resource of the type was written, and is to be looked at by a session that can open it. One row however often it is written.
create table care.notice (
    dossier uuid not null,
    subscribed uuid not null,  -- the subscription's dossier
    subscription uuid not null,
    rtype int2 not null,
    id uuid not null,
    ver int4 not null,
    made timestamptz not null default now(),
    session text,
    until timestamptz,
    primary key (dossier, subscribed, subscription, rtype, id)
);
create index notice_made on care.notice (made);
create index notice_subscription on care.notice (subscribed, subscription);
grant select, insert, update, delete on care.subscription, care.notice to cloister_gate;

create schema outbound;

-- Where notifications may go at all; the operator's word. `networks`: where the name may lead; empty: anywhere that is public.
create table outbound.host (
    host text not null,
    port int4 not null,
    networks text[] not null default '{}',
    authority text not null default '',
    primary key (host, port)
);

-- `events` counts what matched, `sent` what was told; `trying` is the last event of the attempt under way or failed.
create table outbound.channel (
    dossier uuid not null,
    id uuid not null,
    owner text not null,
    sealed bytea not null,
    expires timestamptz,
    events int8 not null default 0,
    sent int8 not null default 0,
    trying int8 not null default 0,
    tries int4 not null default 0,
    state text not null default 'idle' check (state in ('idle', 'waiting', 'dead', 'off')),
    due timestamptz,
    since timestamptz,
    error text not null default '',
    primary key (dossier, id)
);
create index channel_due on outbound.channel (due) where state = 'waiting';
grant usage on schema outbound to cloister_gate, cloister_outbound;
grant select, insert, update on outbound.channel to cloister_gate;
grant select on outbound.host to cloister_gate, cloister_outbound;
grant select, update on outbound.channel to cloister_outbound;

-- What was written, for whoever asked for its type. A row whose version stays was only sealed anew. The gate's connections plan
-- without hash joins, and an update of thousands of rows needs one here.
create function care.noticed() returns trigger language plpgsql security invoker
set search_path = care, pg_temp set enable_hashjoin = on set enable_seqscan = on as $$
begin
    if exists (select from fresh f where f.rtype = 129) then
        insert into care.subscription (dossier, id, ver) select f.dossier, f.id, f.ver from fresh f where f.rtype = 129
            on conflict (dossier, id) do update set ver = excluded.ver, state = 'requested' where excluded.ver > care.subscription.ver;
    end if;
    if not exists (select from care.subscription s where s.rtype is not null and s.state <> 'off') then
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into care.notice (dossier, subscribed, subscription, rtype, id, ver)
        select f.dossier, s.dossier, s.id, f.rtype, f.id, f.ver
          from fresh f join care.subscription s on s.rtype = f.rtype and s.state <> 'off'
            on conflict (dossier, subscribed, subscription, rtype, id) do update set ver = excluded.ver, session = null, until = null;
    else
        insert into care.notice (dossier, subscribed, subscription, rtype, id, ver)
        select f.dossier, s.dossier, s.id, f.rtype, f.id, f.ver
          from fresh f join stale b on b.dossier = f.dossier and b.rtype = f.rtype and b.id = f.id and b.ver < f.ver
          join care.subscription s on s.rtype = f.rtype and s.state <> 'off'
            on conflict (dossier, subscribed, subscription, rtype, id) do update set ver = excluded.ver, session = null, until = null;
    end if;
    return null;
end
$$;
create trigger noticed_new after insert on care.res referencing new table as fresh for each statement execute function care.noticed();
create trigger noticed_changed after update on care.res referencing old table as stale new table as fresh
    for each statement execute function care.noticed();

-- Those that were kept before anything was sent: their owners' sessions look at them, or nobody does.
insert into care.subscription (dossier, id, ver) select r.dossier, r.id, r.ver from care.res r where r.rtype = 129;
