//! Training.
pub mod events;
