//! One attempt to deliver: a POST, signed, from which only the answer's status is learnt.

use std::io::Read;
use std::time::Duration;

use ureq::config::{AutoHeaderValue, Config};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::{SigningSecret, is_public};
use crate::store::Delivery;

/// For the whole attempt, from looking the name up to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer's body is read, so that a receiver that has something to say gets it said. Nobody looks at it.
const ANSWER_BYTES: u64 = 4 << 10;

/// Sends messages.
#[derive(Debug)]
pub(super) struct Sender {
    agent: ureq::Agent,
    secret: SigningSecret,
}

/// Why a message isn't delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undelivered {
    /// The receiver is gone for good.
    #[error("the receiver answered 410: it wants no more messages")]
    Gone,
    /// It sends elsewhere.
    #[error("the receiver answered {0}: redirects aren't followed; give the address that it leads to")]
    Redirect(u16),
    /// It wouldn't have it.
    #[error("the receiver answered {0}")]
    Refused(u16),
    /// The name leads where no message may go.
    #[error("the address leads to a private or special address; the setting webhook_allow_private permits it")]
    Private,
    /// There was no answer in time.
    #[error("there was no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// There was no answer.
    #[error("there was no answer: {0}")]
    NoAnswer(String),
}

impl Sender {
    pub(super) fn new(secret: SigningSecret, allow_private: bool) -> Self {
        let config = Config::builder()
            .http_status_as_error(false)
            // Where a redirect leads, nobody has checked.
            .max_redirects(0)
            // The environment's proxy would look the name up by itself, and what was checked here would mean nothing.
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            // Each attempt looks the name up and checks where it leads.
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .user_agent(concat!("topgraft/", env!("CARGO_PKG_VERSION")))
            .accept_encoding(AutoHeaderValue::None)
            .build();
        let resolver = Checked { names: DefaultResolver::default(), allow_private };
        Self { agent: ureq::Agent::with_parts(config, DefaultConnector::default(), resolver), secret }
    }

    /// Delivers a message at `timestamp`, in seconds since 1970. Blocks for as long as an attempt may take.
    pub(super) fn send(&self, delivery: &Delivery, timestamp: i64) -> Result<(), Undelivered> {
        let id = delivery.id.to_string();
        let request = self
            .agent
            .post(&delivery.url)
            .header("content-type", "application/json")
            .header("webhook-signature", self.secret.sign(&id, timestamp, &delivery.body))
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-id", id);
        let response = request.send(delivery.body.as_str()).map_err(Undelivered::of)?;
        let status = response.status();
        // The status says all; an answer that breaks off changes nothing.
        let _ = std::io::copy(&mut response.into_body().into_reader().take(ANSWER_BYTES), &mut std::io::sink());
        match status.as_u16() {
            200..=299 => Ok(()),
            410 => Err(Undelivered::Gone),
            code @ 300..=399 => Err(Undelivered::Redirect(code)),
            code => Err(Undelivered::Refused(code)),
        }
    }
}

impl Undelivered {
    fn of(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Other(error) if error.is::<Private>() => Self::Private,
            ureq::Error::Timeout(_) => Self::Timeout,
            error => Self::NoAnswer(error.to_string()),
        }
    }

    /// Whether another attempt is no use.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Gone)
    }
}

/// Looks names up, and gives only addresses that may be called: what is connected to is what was checked, so it doesn't help a name
/// to lead elsewhere a moment later.
#[derive(Debug)]
struct Checked {
    names: DefaultResolver,
    allow_private: bool,
}

/// No address of a name may be called.
#[derive(Debug, thiserror::Error)]
#[error("not a public address")]
struct Private;

impl Resolver for Checked {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        if self.allow_private {
            return Ok(found);
        }
        let mut public = self.empty();
        found.iter().filter(|address| is_public(address.ip())).for_each(|address| public.push(*address));
        if public.is_empty() { Err(ureq::Error::Other(Box::new(Private))) } else { Ok(public) }
    }
}
