//! Who may use the API: keys, what they are for, and how often they may be used. Plain data and pure logic: the API checks,
//! the database keeps.

mod bucket;
mod key;
mod scope;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use bucket::Bucket;
pub use key::{InvalidKey, Key, KeyId, SecretHash};
pub use scope::{Scope, Scopes};

/// Whether the API asks for keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Unless it listens where only this machine can reach it.
    #[default]
    Auto,
    /// Always.
    Required,
    /// Never: whoever reaches it may do everything.
    Off,
}

/// What [`Auth`] comes to at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Without a key, only what is open to everybody.
    Required,
    /// Without a key, everything; a key that is sent is checked.
    Optional,
    /// Keys are not looked at.
    Off,
}

impl Auth {
    /// What it comes to for a server that listens at `address`.
    #[must_use]
    pub fn at(self, address: IpAddr) -> Asking {
        match self {
            Self::Off => Asking::Off,
            Self::Auto if is_loopback(address) => Asking::Optional,
            Self::Auto | Self::Required => Asking::Required,
        }
    }
}

/// Whether only this machine can reach `address`.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_needs_no_key() {
        let at = |auth: Auth, address: &str| auth.at(address.parse().unwrap());
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(at(Auth::Auto, address), Asking::Optional, "{address}");
            assert_eq!(at(Auth::Required, address), Asking::Required, "{address}");
            assert_eq!(at(Auth::Off, address), Asking::Off, "{address}");
        }
        for address in ["0.0.0.0", "::", "192.168.1.2", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert_eq!(at(Auth::Auto, address), Asking::Required, "{address}");
            assert_eq!(at(Auth::Off, address), Asking::Off, "{address}");
        }
    }
}
