//! The secret that messages are signed with, so that a receiver knows who sent them.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::config::Settings;

/// What the specification has secrets begin with.
const PREFIX: &str = "whsec_";

/// How many random bytes a new secret has.
const BYTES: usize = 32;

/// A secret that is shared with the receivers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SigningSecret(Vec<u8>);

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is {PREFIX} and then 24 to 64 bytes in base64; `topgraft webhooks secret` shows one")]
pub struct InvalidSecret;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path}: {source}; without the file, a new secret is made")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidSecret,
    },
}

impl SigningSecret {
    /// The secret of these settings: the one that they give, else the data folder's, which is made if it isn't there.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn of(settings: &Settings) -> Result<Self, SecretError> {
        settings.webhook_secret.clone().map_or_else(|| Self::kept(&settings.webhook_secret_file()), Ok)
    }

    /// The secret in a file, which is made if it isn't there.
    fn kept(path: &Path) -> Result<Self, SecretError> {
        match std::fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(|source| SecretError::Invalid { path: path.to_owned(), source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::made(path),
            Err(source) => Err(SecretError::Io { path: path.to_owned(), source }),
        }
    }

    /// A new secret, in a new file.
    fn made(path: &Path) -> Result<Self, SecretError> {
        let secret = Self(rand::random::<[u8; BYTES]>().to_vec());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            std::fs::create_dir_all(parent)?;
            // Temporary files are their owner's alone (0600), and this one stays so.
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            writeln!(file, "{}", secret.expose())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path).map_err(|error| error.error)?;
            File::open(parent)?.sync_all()
        };
        match write() {
            Ok(()) => Ok(secret),
            // Another process was faster: its secret is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::kept(path),
            Err(source) => Err(SecretError::Io { path: path.to_owned(), source }),
        }
    }

    /// The secret as receivers are given it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The header `webhook-signature` of a message, sent at `timestamp` (seconds since 1970).
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

impl std::str::FromStr for SigningSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).ok_or(InvalidSecret)?).map_err(|_| InvalidSecret)?;
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }
}

impl TryFrom<String> for SigningSecret {
    type Error = InvalidSecret;

    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        text.parse()
    }
}

impl From<SigningSecret> for String {
    fn from(secret: SigningSecret) -> Self {
        secret.expose()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_message_is_signed_as_the_specification_says() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret: SigningSecret = text.parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(secret.expose(), text);
        assert!(!format!("{secret:?}").contains("MfKQ"));
        assert_eq!(serde_json::from_str::<SigningSecret>(&serde_json::to_string(&secret).unwrap()).unwrap(), secret);
        for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "whsec_a b"] {
            assert_eq!(wrong.parse::<SigningSecret>(), Err(InvalidSecret), "{wrong}");
        }
    }

    #[test]
    fn a_folder_has_one_secret_and_its_owner_alone_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: dir.path().join("data"), ..Settings::default() };
        let path = settings.webhook_secret_file();
        let made = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| SigningSecret::of(&settings).unwrap())).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(made.iter().all(|secret| *secret == made[0]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&settings.data_dir).unwrap().count(), 1);

        let given: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let override_ = Settings { webhook_secret: Some(given.clone()), ..settings.clone() };
        assert_eq!(SigningSecret::of(&override_).unwrap(), given);
        std::fs::write(&path, "secret").unwrap();
        let error = SigningSecret::of(&settings).unwrap_err();
        assert!(matches!(error, SecretError::Invalid { .. }) && !error.to_string().contains("\"secret\""), "{error}");
    }
}
