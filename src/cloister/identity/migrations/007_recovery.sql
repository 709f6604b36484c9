-- Recovery by three parties: IT's escrow key, the card sets' public keys, the canary that the yearly drill opens.
-- Every body is signed; `sealed` is IT's recovery data under the passphrase that IT has, and worthless without it.

create table trust.recovery_escrow (
    hash bytea primary key check (length(hash) = 32),
    body bytea not null,
    params text not null,                           -- of the passphrase, JSON
    sealed bytea not null,
    made timestamptz not null default now()
);

-- `number` counts the cards that a set has had; the highest is the present one.
create table trust.recovery_set (
    name text not null check (name in ('A', 'B')),
    number int not null check (number >= 1),
    hash bytea not null unique check (length(hash) = 32),
    body bytea not null,
    made timestamptz not null default now(),
    primary key (name, number)
);

-- A zone that nobody is granted, with one known text under its key: only the ceremony opens it.
create table trust.recovery_canary (
    zone text not null,
    epoch int not null,
    hash bytea not null check (length(hash) = 32),
    body bytea not null,
    made timestamptz not null default now(),
    primary key (zone, epoch),
    foreign key (zone, epoch) references trust.epoch
);

grant select, insert on trust.recovery_escrow, trust.recovery_set, trust.recovery_canary to cloister_gate;
-- A new card takes the place of the lost one: the epochs are sealed again.
grant update (body) on trust.epoch_seal to cloister_gate;
