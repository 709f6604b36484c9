-- Signing in by more than one factor, and by more than one controller. Nothing here opens a key of a person.

-- What waits for an answer: challenges, codes and refresh tokens, by the hash of their name; sealed under the door's own key.
create table estate.kept (
    digest  bytea primary key check (length(digest) = 32),
    kind    text not null,
    sealed  bytea not null,
    until   timestamptz not null
);
create index kept_until on estate.kept (until);

-- One-time codes (RFC 6238). `last_step` is the newest time step whose code was taken: an older or equal one never is again.
create table estate.totp (
    person    text primary key,
    sealed    bytea not null,          -- the secret, under the door's own key
    last_step bigint not null default 0,
    confirmed boolean not null default false,
    made      timestamptz not null default now()
);

-- Codes on paper: a keyed hash of each; good once.
create table estate.paper_code (
    person  text not null,
    digest  bytea not null check (length(digest) = 32),
    made    timestamptz not null default now(),
    used    timestamptz,
    primary key (person, digest)
);

-- How each session's person proved themselves at the door; the session asks for its own.
create table estate.proof (
    session  text primary key,
    person   text not null,
    aal      int not null check (aal between 1 and 3),
    factors  jsonb not null,
    account  text not null default 'none',
    at       timestamptz not null
);
create index proof_at on estate.proof (at);

-- Certificates on cards, by the SHA-256 of the whole certificate; never by a name that stands in it.
create table estate.certificate (
    fingerprint bytea primary key check (length(fingerprint) = 32),
    person      text not null,
    label       text not null default '',
    made        timestamptz not null default now()
);
create index certificate_person on estate.certificate (person);

-- OpenID Connect providers that people may come from, and who is who there: by the provider's own subject.
create table estate.provider (
    id        text primary key check (id ~ '^[a-z0-9-]{1,40}$'),
    name      text not null,
    issuer    text not null unique,
    client    text not null,
    sealed    bytea,                   -- the client secret, under the door's own key
    aal       int not null default 1 check (aal between 1 and 3),
    ca        text not null default ''
);
create table estate.provider_subject (
    provider  text not null references estate.provider on delete cascade,
    subject   text not null,
    person    text not null,
    primary key (provider, subject)
);

-- Directories, and what was synchronised from them. A group or an account grants nothing.
create table estate.directory (
    id        text primary key check (id ~ '^[a-z0-9-]{1,40}$'),
    kind      text not null check (kind in ('administrative', 'medical')),
    priority  int not null,
    urls      jsonb not null,
    base      text not null,
    bind      text not null,
    sealed    bytea not null,          -- the bind password, under the door's own key
    ca        text not null,
    style     text not null default 'active-directory' check (style in ('active-directory', 'ldap')),
    source    text not null default '', -- which server the cursor is of (a uSN is one server's own)
    cursor    bigint not null default 0,
    seen      timestamptz,             -- the last synchronisation that worked
    fault     text not null default '',
    turn      timestamptz              -- a controller has it until then
);
create table estate.directory_account (
    directory text not null references estate.directory on delete cascade,
    id        text not null,           -- objectGUID or entryUUID
    account   text not null,
    upn       text not null default '',
    dn        text not null,
    name      text not null default '',
    mail      text not null default '',
    groups    jsonb not null default '[]',
    disabled  boolean not null default false,
    person    text,                    -- linked by an officer's decision
    changed   timestamptz not null default now(),
    primary key (directory, id)
);
create index directory_account_person on estate.directory_account (person) where person is not null;
create index directory_account_account on estate.directory_account (lower(account));
-- What somebody should look at: a new account, a group's new member, a line of a staff list. Deciding does what it says and no more.
create table estate.directory_proposal (
    id        bigint generated always as identity primary key,
    source    text not null,           -- a directory's id, or 'list'
    kind      text not null check (kind in ('link', 'person', 'join', 'leave')),
    account   text not null default '',
    name      text not null default '',
    what      text not null,           -- a sign-in name, or a group
    made      timestamptz not null default now(),
    state     text not null default 'open' check (state in ('open', 'accepted', 'refused')),
    decided   timestamptz,
    by        text not null default ''
);
create unique index directory_proposal_open on estate.directory_proposal (source, kind, account, what) where state = 'open';

grant select, insert, update, delete on estate.kept, estate.totp, estate.paper_code, estate.proof, estate.directory_account to cloister_estate;
grant select on estate.certificate, estate.provider, estate.provider_subject to cloister_estate;
grant select, update on estate.directory to cloister_estate;
grant select, insert, update on estate.directory_proposal to cloister_estate;

-- Authorities of cards' certificates, with their newest list of what was revoked (RFC 5280).
create table estate.card_authority (
    id      text primary key check (id ~ '^[a-z0-9-]{1,40}$'),
    chain   text not null,             -- PEM: the authority itself, and intermediates
    crls    text not null default '',  -- PEM
    changed timestamptz not null default now()
);
grant select on estate.card_authority to cloister_estate;
