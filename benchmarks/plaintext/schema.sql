-- Plaintext FHIR storage as it is usually built: a JSONB body, GIN over it, and btrees on what is asked for most.
create schema plain;

create table plain.res (
    type    text not null,
    id      uuid not null,
    ver     int4 not null,
    updated timestamptz not null,
    patient text,
    code    text,
    date    timestamptz,
    body    jsonb not null,
    primary key (type, id)
);
create index res_body on plain.res using gin (body jsonb_path_ops);
create index res_patient on plain.res (patient, type);
create index res_code on plain.res (type, code);
create index res_date on plain.res (type, date);

create table plain.res_hist (
    type    text not null,
    id      uuid not null,
    ver     int4 not null,
    updated timestamptz not null,
    body    jsonb not null,
    primary key (type, id, ver)
);
