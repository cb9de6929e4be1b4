//! One binary, since each would link libtorch anew: a file a resource. The server is the real one, over TCP, with the real
//! weights; `make test` says where those are.

mod answer;
mod backbone;
mod cli;
mod datasets;
mod download;
mod hostile;
mod jobs;
mod large;
mod models;
mod pictures;
mod predict;
mod readme;
mod resume;
mod server;
mod serving;
mod sweeps;
mod system;
mod training;
mod v2;
mod workers;
