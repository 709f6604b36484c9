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
