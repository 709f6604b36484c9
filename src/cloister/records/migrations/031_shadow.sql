-- A screen that is shown to a second person, who asked and was let in (docs/sessions.md). The newest picture alone, sealed from the shown
-- session to the watching one. Unlogged: after a crash nothing is shown any more, and nobody misses a picture.
create unlogged table care.shadow (
    id               text primary key,
    watcher          text not null,
    watcher_session  text not null,
    shown            text not null,
    shown_session    text,
    state            text not null default 'asked' check (state in ('asked', 'shown', 'refused', 'ended')),
    letter           bytea not null,
    answer           bytea,
    seq              int8 not null default 0,
    frame            bytea,
    made             timestamptz not null default now(),
    changed          timestamptz not null default now()
);
create index shadow_shown on care.shadow (shown) where state in ('asked', 'shown');
create index shadow_watcher on care.shadow (watcher) where state in ('asked', 'shown');
grant select, insert, update, delete on care.shadow to cloister_gate;
