-- What was sealed into a zone from outside: machines' messages, and dossiers' keys that another zone shares.
-- Nothing here opens without the zone's key; the columns are for finding and prove nothing.

create table care.ingest (
    device text not null,
    seq int8 not null check (seq >= 1),
    zone text not null,
    epoch int4 not null,
    body bytea not null,
    hash bytea not null check (length(hash) = 32),
    state text not null default 'waiting' check (state in ('waiting', 'done', 'refused')),
    reason text not null default '',
    made timestamptz not null default now(),
    leased_by text,
    leased_until timestamptz,
    closed timestamptz,
    primary key (device, seq)
);
create index ingest_waiting on care.ingest (zone, made) where state <> 'done';
alter table care.ingest alter body set storage external;

-- Why a zone has a dossier that it did not found, and until when. A dossier's own zone has no row here.
-- offered: sealed, not taken up; wrapped: the zone has the keys; held: and finds the record; ending: the keys are gone,
-- the patient's name still stands in the zone's list; ended.
create table care.share (
    dossier uuid not null,
    zone text not null,
    resource text not null,
    reason text not null check (reason in ('admission', 'transfer', 'referral', 'consent')),
    giver text not null,
    state text not null check (state in ('offered', 'wrapped', 'held', 'ending', 'ended')),
    body bytea,
    made timestamptz not null default now(),
    until timestamptz,
    closed timestamptz,
    leased_until timestamptz,
    primary key (dossier, zone, resource)
);
create index share_open on care.share (zone, made) where state in ('offered', 'wrapped', 'ending');
create index share_due on care.share (until) where state in ('offered', 'wrapped', 'held');

grant select, insert, update on care.ingest, care.share to cloister_gate;

-- Ends what is due among the dossiers that the caller's zones open. A zone's keys go only when no other share keeps them,
-- and never the last ones of a dossier.
create function care.end_shares(p_zones text[]) returns int language plpgsql security invoker set search_path = care, pg_temp as $$
declare
    due record;
    n int := 0;
begin
    for due in
        select distinct s.dossier, s.zone from care.share s
         where s.until <= now() and s.state in ('offered', 'wrapped', 'held')
           and exists (select from care.dossier_key k where k.dossier = s.dossier and k.zone = any (p_zones))
         limit 500
    loop
        perform 1 from care.dossier d where d.id = due.dossier for update;
        update care.share s set state = 'ended', closed = now(), leased_until = null
         where s.dossier = due.dossier and s.zone = due.zone and s.until <= now() and s.state in ('offered', 'wrapped', 'held');
        n := n + 1;
        if exists (select from care.share s where s.dossier = due.dossier and s.zone = due.zone and s.state in ('offered', 'wrapped', 'held'))
           or not exists (select from care.dossier_key o where o.dossier = due.dossier and o.zone <> due.zone) then
            continue;
        end if;
        delete from care.dossier_key k where k.dossier = due.dossier and k.zone = due.zone;
        update care.share s set state = 'ending' where s.dossier = due.dossier and s.zone = due.zone and s.closed = now() and found;
        delete from care.zidx z where z.dossier = due.dossier and z.zone = due.zone;
    end loop;
    return n;
end
$$;
revoke all on function care.end_shares from public;
grant execute on function care.end_shares to cloister_gate;
