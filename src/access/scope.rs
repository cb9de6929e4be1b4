//! What a key is for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Asking models, and looking at them.
    Predict,
    /// Data sets, jobs and sweeps, and looking at models.
    Train,
    /// Everything: changing models, the audit log, and what the other two may.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Predict, Self::Train, Self::Admin];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Train => "train",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key's scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether one of `sufficient` is among them, or `admin`, which implies all.
    #[must_use]
    pub fn allow(&self, sufficient: &[Scope]) -> bool {
        self.0.contains(&Scope::Admin) || sufficient.iter().any(|scope| self.0.contains(scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// As people read it: `predict, train`.
impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            write!(f, "{}{scope}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_all_and_the_others_only_themselves() {
        let scopes = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
        assert!(Scope::ALL.iter().all(|scope| scopes(&[Scope::Admin]).allow(&[*scope])));
        assert!(scopes(&[Scope::Train]).allow(&[Scope::Predict, Scope::Train]));
        assert!(!scopes(&[Scope::Train]).allow(&[Scope::Predict]));
        assert!(!scopes(&[Scope::Predict, Scope::Train]).allow(&[Scope::Admin]));
        assert!(!scopes(&[]).allow(&Scope::ALL));
        assert_eq!(scopes(&[Scope::Train, Scope::Predict, Scope::Train]).to_string(), "predict, train");
    }

    #[test]
    fn names_are_those_of_json() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }
}
