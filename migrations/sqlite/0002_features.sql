-- What the job keeps of its pictures between epochs (JSON), once it has been decided.
alter table jobs add column features text;
