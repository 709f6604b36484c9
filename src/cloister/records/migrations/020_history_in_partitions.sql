-- Earlier versions only ever grow, and no single read looks at them: they lie in 16 partitions by dossier, each of which can
-- be vacuumed, rebuilt or moved to another disk by itself. What is there already moves with 021. docs/scale.md.

create schema former;
alter table care.res_hist set schema former;

create table care.res_hist (
    dossier uuid not null,
    id uuid not null,
    ver int4 not null,
    day date not null,
    rtype int2 not null,
    key_no int2 not null,
    dict_no int2 not null,
    ct bytea not null,
    primary key (dossier, rtype, id, ver)
) partition by hash (dossier);

do $$
begin
    for remainder in 0..15 loop
        execute format('create table care.res_hist_%s partition of care.res_hist for values with (modulus 16, remainder %s)', remainder, remainder);
        execute format('alter table care.res_hist_%s alter ct set storage external', remainder);
    end loop;
end
$$;
grant select, insert, update, delete on care.res_hist to cloister_gate;
