-- The server that reads a data set's archive, and until when it has the right to, unless it says that it is alive. Servers that share a
-- database take over from one that died.
alter table datasets add column reader text;
alter table datasets add column reader_until bigint;
