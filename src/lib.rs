//! topgraft: labelled pictures in, a served classifier out.
//!
//! The rooms, and which may know which:
//!
//! ```text
//! cli  →  api  →  web, jobs, upkeep, inference, webhooks  →  training, dataset, store, artifact, storage  →  vision
//! ```
//!
//! Nothing points back up. `access`, `charts`, `recipe`, `report`, `names`, `hex`, `disk`, `memory` and `config` are what any room may use.
//! `tch` is named only in `vision`, `training` and `inference`, `sqlx` only in `store`, `axum` only in `api`, `object_store` only
//! in `storage`, `minijinja` only in `web`: each can be replaced without the others noticing.

pub mod access;
pub mod api;
pub mod artifact;
pub mod charts;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod disk;
pub mod hex;
pub mod inference;
pub mod jobs;
pub mod memory;
pub mod names;
pub mod recipe;
pub mod report;
pub mod storage;
pub mod store;
pub mod training;
pub mod upkeep;
pub mod vision;
pub mod web;
pub mod webhooks;
