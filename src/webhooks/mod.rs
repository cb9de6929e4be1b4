//! Webhooks: telling a user's server that a job, or a sweep, has ended, after the Standard Webhooks specification.
//!
//! The transaction that ends a job puts the message into the outbox (`store/webhooks.rs`), so nothing that dies can lose it.
//! Here it is taken out: `deliver` claims what is due and writes down what came of it, `send` is one attempt, `schedule`
//! says when the next one is. Users choose the address, and the request comes from inside the operator's network: `target`
//! checks what is asked for, `address` what it leads to at the moment of connecting.

mod address;
mod deliver;
mod schedule;
mod secret;
mod send;
mod target;
#[cfg(test)]
mod tests;

pub use address::is_public;
pub use deliver::Deliverer;
pub use secret::{InvalidSecret, SecretError, SigningSecret};
pub use target::{InvalidUrl, MAX_URL_BYTES, checked_url};
