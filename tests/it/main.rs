//! One binary, since each would link libtorch anew: a file a resource. The server is the real one, over TCP, with the real
//! weights; `make test` says where those are.

mod access;
mod answer;
mod audit;
mod backbone;
mod browser;
mod cli;
mod datasets;
mod download;
mod full_disk;
mod hostile;
mod hostile_http;
mod jobs;
mod large;
mod models;
mod pictures;
mod postgres;
mod predict;
mod raw;
mod readme;
mod resume;
mod scale;
mod server;
mod serving;
mod stopping;
mod sweeps;
mod system;
mod team;
mod training;
mod upkeep;
mod v2;
mod webhooks;
mod workers;
