-- Beside the work: the primary key that 033 puts in place, and what finds a dossier's rows.
drop index concurrently if exists care.res_by_id;
create unique index concurrently res_by_id on care.res (id, rtype, dossier);
drop index concurrently if exists care.res_of_dossier;
create index concurrently res_of_dossier on care.res (dossier, rtype);
