-- Keys for the API, and who changed what with them.

create table api_keys (
    -- The eight digits that a key's text begins with: no secret.
    id                  text primary key,
    name                text not null,
    -- SHA-256 of the secret, which is nowhere.
    hash                text not null,
    scopes              text not null,
    requests_per_minute bigint,
    max_stored_bytes    bigint,
    max_queued_jobs     bigint,
    created_at          bigint not null,
    expires_at          bigint,
    revoked_at          bigint,
    -- To the minute.
    last_used_at        bigint
);

-- Requests that were to change something. No foreign key: an entry stands by itself.
create table audit (
    id         text primary key,
    at         bigint not null,
    key_id     text,
    key_name   text,
    method     text not null,
    path       text not null,
    status     bigint not null,
    request_id text
);

-- The key that it came with, and what its pictures take on the disk once they have been read.
alter table datasets add column key_id text references api_keys (id);
alter table datasets add column stored_bytes bigint;
create index datasets_by_key on datasets (key_id);

alter table jobs add column key_id text references api_keys (id);
create index jobs_by_key on jobs (key_id, state);
