-- What is probably wrong with a data set's pictures and labels, looked for once somebody asks. One that is under way is a lease, as a
-- job is: every write of the worker shows the token.
create table dataset_audits (
    dataset_id       text primary key references datasets (id) on delete cascade,
    state            text not null check (state in ('queued', 'running', 'ready', 'failed')),
    -- 0 to 1.
    progress         double precision not null default 0,
    -- What it came to (JSON), once it is ready.
    summary          text,
    -- Workers lost on the way.
    losses           bigint not null default 0,
    lease            text,
    lease_expires_at bigint,
    error_code       text,
    error_message    text,
    created_at       bigint not null,
    finished_at      bigint
);
create index dataset_audits_by_state on dataset_audits (state, created_at);

-- In order of kind and of how sure they are.
create table dataset_findings (
    dataset_id text not null references dataset_audits (dataset_id) on delete cascade,
    finding    bigint not null,
    kind       text not null,
    body       text not null,
    primary key (dataset_id, finding)
);
create index dataset_findings_by_kind on dataset_findings (dataset_id, kind, finding);
