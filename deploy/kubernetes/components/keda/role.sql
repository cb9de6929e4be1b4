-- The role that KEDA asks with, once the tables are there: psql "$TOPGRAFT_DATABASE" -f role.sql, then \password topgraft_keda.
create role topgraft_keda login;
grant select on jobs, sweeps, dataset_audits, feature_shards to topgraft_keda;
