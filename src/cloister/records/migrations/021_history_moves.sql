-- In batches: earlier versions move into their partitions.
with piece as (
    select h.dossier, h.rtype, h.id, h.ver from former.res_hist h order by h.dossier, h.rtype, h.id, h.ver limit 20000
), taken as (
    delete from former.res_hist h using piece p
     where h.dossier = p.dossier and h.rtype = p.rtype and h.id = p.id and h.ver = p.ver
    returning h.dossier, h.id, h.ver, h.day, h.rtype, h.key_no, h.dict_no, h.ct
), moved as (
    insert into care.res_hist (dossier, id, ver, day, rtype, key_no, dict_no, ct)
    select dossier, id, ver, day, rtype, key_no, dict_no, ct from taken
    returning 1
)
select count(*) from moved
