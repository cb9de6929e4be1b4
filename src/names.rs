//! Names that people give: checked once, at the edge, so that they can be part of a path and of a URL.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dataset's, model's or alias's name: 1 to 64 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "flowers")]
pub struct Name(String);

/// A name that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} letters, digits, '-', '_' or '.', beginning with a letter or digit", Name::MAX_LEN)]
pub struct InvalidName;

impl Name {
    /// Longest name, in characters.
    pub const MAX_LEN: usize = 64;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if begins && name.len() <= Self::MAX_LEN && name.chars().all(allowed) { Ok(Self(name)) } else { Err(InvalidName) }
    }
}

impl std::str::FromStr for Name {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::try_from(name.to_owned())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_and_urls() {
        for good in ["flowers", "a", "17-flowers_v2.1"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", "-x", "a\0", &long] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName), "{bad}");
        }
    }
}
