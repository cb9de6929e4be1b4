-- Requests may be repeated without doubling what they make, and a job that finds the disk full waits.

-- The answers to requests that made something under a key, written with what they made. A request that is being answered has no
-- row yet, and one that came to nothing never has.
create table idempotency (
    key         text primary key,
    -- Of what was asked: the method, the address and the content.
    fingerprint text not null,
    status      bigint not null,
    location    text,
    body        text not null,
    created_at  bigint not null
);
create index idempotency_by_age on idempotency (created_at);

-- Why a queued job isn't begun before a moment, which moment, and how often that has been so.
alter table jobs add column waiting text;
alter table jobs add column not_before bigint;
alter table jobs add column postponed bigint not null default 0;
