//! A key's text, and what is kept of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::hex::hex;

/// What every key begins with: shows people, and tools that look for leaked secrets, what it is.
const PREFIX: &str = "tg_";

/// Which key it is; no secret. Its text is eight hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(u32);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl std::str::FromStr for KeyId {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.len() == 8 && text.bytes().all(is_digit);
        digits.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or(InvalidKey::Id)
    }
}

/// A text that is no key. The text itself is not told: it may be nearly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Of an id.
    #[error("must be the 8 hexadecimal digits that follow tg_ in the key")]
    Id,
    /// Of a key.
    #[error("a key is tg_, 8 hexadecimal digits, _ and 43 letters, digits, - or _")]
    Key,
    /// Of a hash.
    #[error("must be 64 hexadecimal digits")]
    Hash,
}

/// A key, secret and all: `tg_<id>_<secret>`, the secret 256 random bits in base64url.
///
/// There is no way to print it but [`Key::reveal`].
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    secret: [u8; 32],
}

/// The SHA-256 of a secret. Slow hashes are for what people make up: 256 random bits are beyond guessing however fast each
/// guess is, and a request need not wait for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHash(String);

impl Key {
    /// A new one, from the operating system's randomness.
    ///
    /// # Errors
    /// An operating system that has none.
    pub fn generate() -> Result<Self, rand::rngs::SysError> {
        let (mut id, mut secret) = ([0; 4], [0; 32]);
        SysRng.try_fill_bytes(&mut id)?;
        SysRng.try_fill_bytes(&mut secret)?;
        Ok(Self { id: KeyId(u32::from_be_bytes(id)), secret })
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What is kept of its secret.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(hex(&Sha256::digest(self.secret)))
    }

    /// Its whole text, for whoever asked for a key and for nobody else.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, URL_SAFE_NO_PAD.encode(self.secret))
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (id, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(InvalidKey::Key)?;
        let id = id.parse().map_err(|_| InvalidKey::Key)?;
        let secret = URL_SAFE_NO_PAD.decode(secret).map_err(|_| InvalidKey::Key)?;
        Ok(Self { id, secret: secret.try_into().map_err(|_| InvalidKey::Key)? })
    }
}

/// Hides the secret.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({PREFIX}{}_…)", self.id)
    }
}

impl SecretHash {
    /// Whether it is of this key's secret. Takes as long whichever digit is the first that differs.
    #[must_use]
    pub fn is_of(&self, key: &Key) -> bool {
        self.0.as_bytes().ct_eq(key.hash().0.as_bytes()).into()
    }

    /// Its hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SecretHash {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| Self(text.to_owned())).ok_or(InvalidKey::Hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_reads_back_and_matches_only_its_own_hash() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let text = key.reveal();
        assert_eq!(text.len(), 3 + 8 + 1 + 43);
        let read: Key = text.parse().unwrap();
        assert_eq!((read.id(), read.reveal()), (key.id(), text));
        assert!(key.hash().is_of(&read) && !key.hash().is_of(&other));
        assert_eq!(key.hash().as_str().parse(), Ok(key.hash()));
    }

    #[test]
    fn a_hash_is_the_sha_256_of_the_secret() {
        let key = Key { id: KeyId(0x0012_abcd), secret: [0; 32] };
        assert_eq!(key.reveal(), format!("tg_0012abcd_{}", "A".repeat(43)));
        assert_eq!(key.hash().as_str(), "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
    }

    #[test]
    fn what_is_logged_of_a_key_is_its_id() {
        let key = Key::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("Key(tg_{}_…)", key.id()));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_told() {
        let good = Key { id: KeyId(7), secret: [0xff; 32] }.reveal();
        assert!(good.parse::<Key>().is_ok());
        let bad = [
            String::new(),
            "tg_".to_owned(),
            good.replacen("tg_", "TG_", 1),
            good.replacen("tg_0", "tg_", 1),
            good.replacen("tg_0", "tg_+", 1),
            good.replacen("00007", "0000A", 1),
            good[..good.len() - 1].to_owned(),
            format!("{good}A"),
            format!("{good}="),
            format!(" {good}"),
            // The last digit stands for four bits: two of its six must be zero.
            format!("{}9", &good[..good.len() - 1]),
        ];
        for text in bad {
            assert_eq!(text.parse::<Key>().unwrap_err(), InvalidKey::Key, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_key_but_what_a_key_reveals(text in "(tg_)?[0-9a-fA-F]{7,9}_[-_A-Za-z0-9=]{42,44}|\\PC{0,60}") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.reveal(), text);
            }
        }
    }
}
