-- Which servers a delivery group takes, by name or label, and who may use it. docs/farm.md, "Delivery groups".
--
-- server.groups is what counts, for whoever reads it: the groups that choose the server, beside those that it names itself; 'default'
-- only while no other does. `named` is what its agent said last.
alter table estate.delivery_group
    add column servers text[] not null default '{}',
    add column labels  text[] not null default '{}',
    add column roles   text[] not null default '{}';
alter table estate.server
    add column labels text[] not null default '{}',
    add column named  text[] not null default '{default}';
update estate.server set named = groups;

create function estate.groups_of(server text, with_labels text[], named text[]) returns text[] language sql stable as $$
    with chosen as (select g.id from estate.delivery_group g where server = any (g.servers) or g.labels && with_labels)
    select case when exists (select from chosen)
                then array(select id from chosen union select n from unnest(named) n where n <> 'default' order by 1)
                else named end
$$;

-- An upsert hands its row to the first of these before it knows whether it inserts: so that one must leave `groups` as it was said.
create function estate.server_named() returns trigger language plpgsql as $$
begin
    new.named := new.groups;
    if tg_op = 'UPDATE' then new.groups := estate.groups_of(new.id, new.labels, new.named); end if;
    return new;
end $$;
create function estate.server_chosen() returns trigger language plpgsql as $$
begin
    new.groups := estate.groups_of(new.id, new.labels, new.named);
    return new;
end $$;
create function estate.server_came() returns trigger language plpgsql as $$
begin
    update estate.server set named = named where id = new.id and groups <> estate.groups_of(id, labels, named);
    return null;
end $$;
create function estate.group_changed() returns trigger language plpgsql as $$
begin
    update estate.server set named = named where groups <> estate.groups_of(id, labels, named);
    return null;
end $$;
create trigger server_named before insert or update of groups on estate.server for each row execute function estate.server_named();
create trigger server_chosen before update of labels, named on estate.server for each row execute function estate.server_chosen();
create trigger server_came after insert on estate.server for each row execute function estate.server_came();
create trigger group_changed after insert or delete or update of servers, labels on estate.delivery_group
    for each statement execute function estate.group_changed();
