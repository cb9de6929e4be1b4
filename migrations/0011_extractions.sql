-- Who computes features just now: one job at a time those of the same rows, others help it.
create table extractions (
    job_id     text primary key references jobs (id) on delete cascade,
    -- Names the rows.
    features   text not null unique,
    -- Whoever computes otherwise can't help.
    arithmetic text not null,
    -- The job's, when it began: with another one it is another attempt.
    lease      text not null
);

-- Parts of what a job misses.
create table feature_shards (
    job_id           text not null references extractions (job_id) on delete cascade,
    shard            bigint not null,
    -- Numbers of the job's samples, as ranges.
    samples          text not null,
    -- A helper's is done until the job has collected what was computed.
    state            text not null default 'queued' check (state in ('queued', 'running', 'done', 'collected')),
    worker           text,
    lease            text,
    -- Null if the job itself computes it.
    lease_expires_at bigint,
    -- How often a helper came to nothing. After the first time it is the job's own.
    losses           bigint not null default 0,
    -- Where the rows are that a helper computed: JSON.
    segments         text,
    primary key (job_id, shard)
);
create index feature_shards_open on feature_shards (job_id, shard) where state in ('queued', 'running', 'done');
