-- How many ready servers a group needs for its sessions: a maintenance takes only what is ready beyond them. docs/power.md.
alter table estate.power_turn add column needed int not null default 0;
