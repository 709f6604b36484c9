-- What each controller's two-person canary found last (docs/gateway.md): when a round was clean, when answers crossed, and which.
create table estate.canary (
    controller  text primary key,
    clean       timestamptz,
    alarmed     timestamptz,
    what        text not null default ''
);

grant select, insert, update, delete on estate.canary to cloister_estate;
