-- Power: each group's policy, each machine's state, what was planned and done, and the samples that a forecast learns from. docs/power.md.
create table estate.power_policy (
    grp      text primary key,
    policy   jsonb not null,
    changed  timestamptz not null default now()
);
-- `wish`: what an operator asked for; the planner leaves such a machine alone until `auto`. `boot_seconds`: learnt.
create table estate.power_machine (
    server        text primary key,
    grp           text not null,
    driver        text not null,
    state         text not null check (state in ('off', 'booting', 'on', 'stopping', 'failed')),
    since         timestamptz not null,
    failures      int not null default 0,
    wish          text not null default 'auto' check (wish in ('auto', 'on', 'off')),
    restart       boolean not null default false,
    boot_seconds  real not null default 0,
    text          text not null default ''
);
create table estate.load_sample (
    grp    text not null,
    at     timestamptz not null,
    held   int not null,
    begun  int not null,
    primary key (grp, at)
);
create table estate.power_turn (
    grp       text not null,
    at        timestamptz not null,
    wanted    int not null,
    later     int not null,
    ready     int not null,
    coming    int not null,
    emptying  int not null,
    running   int not null,
    held      int not null,
    expected  real not null,
    short     int not null,
    too_many_since timestamptz,
    primary key (grp, at)
);
create table estate.power_step (
    id       bigint generated always as identity primary key,
    at       timestamptz not null,
    server   text not null,
    action   text not null,
    why      text not null,
    outcome  text not null default ''
);
create index power_step_at on estate.power_step (at);

grant select, insert, update, delete on estate.power_policy, estate.power_machine, estate.load_sample, estate.power_turn,
    estate.power_step to cloister_estate;
