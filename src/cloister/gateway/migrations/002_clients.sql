-- What is written down about clients besides who they are: a program's public keys, scopes and pace; an app's addresses.
-- A program without a row has the defaults; an app without a row does not exist. Nothing here opens a record.
create table estate.client (
    id            text primary key check (length(id) between 1 and 128),   -- a program's sign-in name, or an app's own
    kind          text not null check (kind in ('program', 'app')),
    name          text not null default '',
    keys          jsonb not null default '[]',     -- public keys (RFC 7517) for private_key_jwt
    secret_taken  bool not null default true,      -- false: the door refuses a client secret, so that none ever passes it
    secret_hash   bytea check (length(secret_hash) = 32),   -- of a confidential app
    scopes        text not null default '',        -- at most these; empty: all that a program's grants permit
    redirects     jsonb not null default '[]',     -- an app's redirect URIs, compared letter by letter
    launch        text not null default '',        -- where an app is launched from a chart
    per_second    int check (per_second between 1 and 1000000),
    burst         int check (burst between 1 and 1000000),
    at_once       int check (at_once between 1 and 500),
    bulk_bytes    bigint check (bulk_bytes >= 0),  -- a day
    changed       timestamptz not null default now()
);

create table estate.client_use (
    client        text not null,
    day           date not null,
    refused       bigint not null default 0,
    bulk_bytes    bigint not null default 0,
    primary key (client, day)
);

-- Assertions that were taken once (RFC 7523 3: jti), until they expire by themselves.
create table estate.assertion (
    digest        bytea primary key check (length(digest) = 32),
    until         timestamptz not null
);
create index assertion_until on estate.assertion (until);

grant select on estate.client to cloister_estate;
grant select, insert, update on estate.client_use to cloister_estate;
grant select, insert, delete on estate.assertion to cloister_estate;
