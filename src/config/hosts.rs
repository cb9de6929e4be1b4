//! A list of host names, as one setting.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Host names or addresses without a port, in lower case; written with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hosts(Vec<String>);

/// A text that is no list of host names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host name: write names or addresses without port or path, with commas between them")]
pub struct InvalidHosts(String);

impl Hosts {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `host` is one of them; an IPv6 address is in brackets, as in a URL.
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

impl FromStr for Hosts {
    type Err = InvalidHosts;

    fn from_str(text: &str) -> Result<Self, InvalidHosts> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let name = |name: &str| match is_host(name) {
            true => Ok(name.to_ascii_lowercase()),
            false => Err(InvalidHosts(name.to_owned())),
        };
        names.map(name).collect::<Result<_, _>>().map(Self)
    }
}

fn is_host(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')),
    }
}

impl TryFrom<String> for Hosts {
    type Error = InvalidHosts;

    fn try_from(text: String) -> Result<Self, InvalidHosts> {
        text.parse()
    }
}

impl From<Hosts> for String {
    fn from(hosts: Hosts) -> Self {
        hosts.0.join(",")
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_with_commas_and_go_back() {
        let hosts: Hosts = " Flowers.example, [::1],10.0.0.1,,".parse().unwrap();
        assert_eq!(hosts.to_string(), "flowers.example,[::1],10.0.0.1");
        assert_eq!(String::from(hosts.clone()).parse::<Hosts>().unwrap(), hosts);
        assert!(hosts.contains("FLOWERS.example") && hosts.contains("[::1]") && !hosts.contains("example"));
        assert!("".parse::<Hosts>().unwrap().is_empty());
        for wrong in ["a:80", "http://a", "a b", "*", "[::1", "[a]", "a/b", "ä"] {
            assert_eq!(wrong.parse::<Hosts>(), Err(InvalidHosts(wrong.to_owned())), "{wrong}");
        }
    }
}
