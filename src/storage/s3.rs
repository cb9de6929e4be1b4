//! A bucket, as the `AWS_…` variables say how to reach it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::StorageError;

/// For an answer to begin, and between two pieces of it. A part of a large file has to be on its way within it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Any of these says where credentials come from.
const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Requests that meet trouble are repeated for up to 20 seconds: whoever asked may have more patience, and asks again.
pub fn patient() -> RetryConfig {
    // The pauses are drawn from between the first and three times the last.
    let (init_backoff, max_backoff, base) = (Duration::from_millis(100), Duration::from_secs(5), 3.0);
    let backoff = BackoffConfig { init_backoff, max_backoff, base };
    RetryConfig { backoff, max_retries: 30, retry_timeout: Duration::from_secs(20) }
}

/// The variables of this process that are text.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A client for what begins with `prefix` in a bucket. Nothing is sent yet.
///
/// # Errors
/// [`StorageError::Invalid`] if the variables don't say how to get in.
pub fn connect(
    bucket: &str,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    retry: RetryConfig,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let timeouts = ClientOptions::new().with_timeout_disabled().with_read_timeout(PATIENCE);
    let mut builder = AmazonS3Builder::new().with_client_options(timeouts);
    let mut entitled = false;
    // Compose files make empty variables of missing ones.
    for (name, value) in variables.into_iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
        entitled |= CREDENTIALS.contains(&name.as_str()) || asks_for(&name, &value);
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if !entitled {
        // object_store would ask the machine's metadata service, which is nowhere but in EC2, and wait for it.
        return Err(StorageError::Invalid(
            "a storage in a bucket needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_EC2_METADATA_DISABLED=false to use \
             the role of the EC2 machine)"
                .to_owned(),
        ));
    }
    allow_http(&builder)?;
    // reqwest is built without a provider of its own, so that there is one in the binary. An error means that somebody has
    // chosen one before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = builder.with_bucket_name(bucket).with_retry(retry).build();
    let store = store.map_err(|error| StorageError::Invalid(format!("the AWS_… variables can't be used: {error}")))?;
    Ok(if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}

/// Whether a variable asks for access that needs no key.
fn asks_for(name: &str, value: &str) -> bool {
    match name {
        "AWS_EC2_METADATA_DISABLED" => value.eq_ignore_ascii_case("false"),
        "AWS_SKIP_SIGNATURE" => value.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// An endpoint without TLS has to be meant; otherwise the first request would fail, with less to go by.
fn allow_http(builder: &AmazonS3Builder) -> Result<(), StorageError> {
    let plain = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .any(|key| builder.get_config_value(key).is_some_and(|endpoint| endpoint.to_ascii_lowercase().starts_with("http://")));
    let meant = builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    if plain && meant.is_none_or(|meant| !matches!(meant.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")) {
        return Err(StorageError::Invalid(
            "AWS_ENDPOINT_URL is without TLS: set AWS_ALLOW_HTTP=true if that is meant".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(variables: &[(&str, &str)]) -> Option<String> {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        connect("flowers", "top", variables, patient()).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_named_before_anything_is_sent() {
        let key = [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
        assert_eq!(refusal(&key), None);
        assert!(refusal(&[]).unwrap().contains("AWS_ACCESS_KEY_ID"));
        assert!(refusal(&[("AWS_ACCESS_KEY_ID", ""), ("OTHER", "x")]).unwrap().contains("AWS_ACCESS_KEY_ID"));
        let half = refusal(&key[..1]).unwrap();
        assert!(half.contains("ecret") && !half.contains("AKIA1"), "{half}");
        let half = refusal(&key[1..]).unwrap();
        assert!(!half.contains("hunter2"), "{half}");
        assert_eq!(refusal(&[("AWS_EC2_METADATA_DISABLED", "false")]), None);
        let plain = [key[0], key[1], ("AWS_ENDPOINT_URL", "http://minio:9000")];
        assert!(refusal(&plain).unwrap().contains("AWS_ALLOW_HTTP"));
        assert_eq!(refusal(&[&plain[..], &[("AWS_ALLOW_HTTP", "true")]].concat()), None);
        assert_eq!(refusal(&[key[0], key[1], ("AWS_ENDPOINT_URL", "https://minio:9000")]), None);
    }
}
