-- Where to tell that a job has ended, or the last trial of a sweep.
alter table jobs add column webhook_url text;
alter table sweeps add column webhook_url text;

-- The outbox: a row is there once the end is, in the same transaction.
create table webhook_deliveries (
    -- The job's or the sweep's: each ends once.
    id           text primary key,
    job_id       text references jobs (id) on delete cascade,
    sweep_id     text references sweeps (id) on delete cascade,
    url          text not null,
    -- What is sent, the same in every attempt.
    body         text not null,
    attempts     bigint not null default 0,
    -- When it is due; while a server is at it, when its claim ends.
    next_at      bigint not null,
    -- The claim's token, which the outcome of an attempt must show.
    lease        text,
    last_error   text,
    created_at   bigint not null,
    delivered_at bigint,
    given_up_at  bigint
);
create index webhook_deliveries_due on webhook_deliveries (next_at) where delivered_at is null and given_up_at is null;
create index webhook_deliveries_by_job on webhook_deliveries (job_id);
create index webhook_deliveries_by_sweep on webhook_deliveries (sweep_id);
