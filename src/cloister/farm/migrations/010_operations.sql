-- How long sessions last, by policy, and what operators say to people. No patient data: a message speaks of the house.

-- An empty word means "any". Several rows may fit a session: each limit comes from the most exact row that names it.
create table estate.session_policy (
    hospital           text not null default '',
    grp                text not null default '',  -- a delivery group
    role               text not null default '',
    idle_lock_seconds  int check (idle_lock_seconds between 5 and 86400),
    away_seconds       int check (away_seconds between 0 and 86400),
    linger_seconds     int check (linger_seconds between 5 and 604800),
    absolute_seconds   int check (absolute_seconds between 0 and 604800),
    shadow             text check (shadow in ('ask', 'never')),
    prelaunch          boolean,
    changed            timestamptz not null default now(),
    primary key (hospital, grp, role)
);
-- Whoever shadows is not given what another role may see by a mere yes, unless the trust decides so.
insert into estate.session_policy (role, shadow) values
    ('access-officer', 'never'), ('certificate-officer', 'never'), ('privacy-officer', 'never'), ('management', 'never');

create table estate.message (
    id      text primary key,
    text    jsonb not null,  -- by language
    sender  text not null,
    scope   text not null,   -- whom it was for, in words
    urgent  boolean not null,
    made    timestamptz not null
);
create table estate.message_to (
    message  text not null references estate.message (id) on delete cascade,
    session  text not null,
    person   text not null,
    pages    int,            -- pages that showed it at once; null: the session could not be told
    seen     timestamptz,    -- when its person closed it
    primary key (message, session)
);
create index message_made on estate.message (made);

grant select, insert, update, delete on estate.session_policy, estate.message, estate.message_to to cloister_estate;
