//! Who a request may be for, and which web pages may make one.
//!
//! A browser sends requests for any page that it shows. Without this, a page from anywhere could drive a server on this machine
//! that asks for no key: by a form or `fetch` straight to it, or under a name of the page's own that its owner lets point at
//! 127.0.0.1 (DNS rebinding). The first shows by `Origin` and `Sec-Fetch-Site`, which a page can't change; the second by `Host`.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiError, AppState};
use crate::config::Settings;

/// Lets a request through or refuses it.
pub(super) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match checked(&state.settings, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn checked<B>(settings: &Settings, request: &axum::http::Request<B>) -> Result<(), ApiError> {
    let host = host(request)?;
    if let Some(host) = &host
        && !is_known(settings, &host.name)
    {
        let detail = format!(
            "{} is no host that this server answers for: ask for it by its address, or start it with --allowed-hosts {0}",
            host.name
        );
        return Err(ApiError::new(StatusCode::FORBIDDEN, "unknown_host", detail));
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    match safe || is_own(settings, host.as_ref(), request.headers()) {
        true => Ok(()),
        false => {
            let detail = "a web page of another origin may not change anything here or ask for predictions: send the request \
                          from a program, or from a page that this host serves";
            Err(ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", detail))
        }
    }
}

/// A host as `Host`, an address or an origin names it.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    /// In lower case; an IPv6 address is in brackets.
    name: String,
    port: Option<u16>,
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        Self::of(&authority)
    }

    fn of(authority: &Authority) -> Option<Self> {
        let (name, port) = (authority.host(), authority.port_u16());
        let sound = !name.is_empty() && !authority.as_str().contains('@');
        sound.then(|| Self { name: name.to_ascii_lowercase(), port })
    }
}

/// The one host that a request is for. HTTP/1.0 needn't say it, and no browser speaks that.
fn host<B>(request: &axum::http::Request<B>) -> Result<Option<Host>, ApiError> {
    let invalid = || {
        let detail = "the header `host` must be there once and name this server, as in `host: 127.0.0.1:8080`";
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_host", detail)
    };
    let mut given = request.headers().get_all(header::HOST).iter();
    let header = match (given.next(), given.next()) {
        (None, _) if request.version() == Version::HTTP_11 => return Err(invalid()),
        (None, _) => None,
        (Some(only), None) => Some(only.to_str().ok().and_then(Host::parse).ok_or_else(invalid)?),
        (Some(_), Some(_)) => return Err(invalid()),
    };
    // An address that has a host itself, as one sends it to a proxy, comes before the header (RFC 9112, section 3.2.2).
    match request.uri().authority() {
        Some(authority) => Host::of(authority).ok_or_else(invalid).map(Some),
        None => Ok(header),
    }
}

/// Whether the server answers for this host. Only names are suspect: an address can't be made to point elsewhere.
fn is_known(settings: &Settings, name: &str) -> bool {
    let local = settings.listen.ip().to_canonical().is_loopback();
    if !local && settings.allowed_hosts.is_empty() {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let known = match address {
        Ok(address) => !local || address.to_canonical().is_loopback(),
        Err(_) => name == "localhost",
    };
    known || settings.allowed_hosts.contains(name)
}

/// Whether a request comes from no web page, from one of this host's own, or from one of a host that it answers for: behind a
/// proxy, that is the name that pages know.
fn is_own(settings: &Settings, host: Option<&Host>, headers: &HeaderMap) -> bool {
    let cross = |value: &axum::http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"cross-site");
    if headers.get_all("sec-fetch-site").iter().any(cross) {
        return false;
    }
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        // A page of no origin says `null`, which has no scheme.
        let Some((origin, usual)) = origin.to_str().ok().and_then(parse_origin) else { return false };
        let port = |host: &Host| host.port.or(usual);
        host.is_some_and(|host| host.name == origin.name && port(host) == port(&origin))
            || settings.allowed_hosts.contains(&origin.name)
    })
}

/// An origin's host, and the port that its scheme means when none is given.
fn parse_origin(text: &str) -> Option<(Host, Option<u16>)> {
    let uri: Uri = text.parse().ok()?;
    let usual = match uri.scheme_str()? {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Some((Host::of(uri.authority()?)?, usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str, hosts: &str) -> Settings {
        Settings { listen: listen.parse().unwrap(), allowed_hosts: hosts.parse().unwrap(), ..Settings::default() }
    }

    /// The code of the refusal, if there is one.
    fn ask(settings: &Settings, method: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let request = headers
            .iter()
            .fold(axum::http::Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        checked(settings, &request.body(()).unwrap()).err().map(|error| error.code())
    }

    #[test]
    fn a_loopback_address_answers_for_this_machine_and_those_that_are_allowed() {
        let local = settings("127.0.0.1:8080", "flowers.example");
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "Flowers.Example:443"] {
            assert_eq!(ask(&local, "GET", &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1:8080", "127.0.0.1.evil.example", "[::2]"] {
            assert_eq!(ask(&local, "GET", &[("host", host)]), Some("unknown_host"), "{host}");
        }
        for host in ["", "a b", "user@localhost", "local/host", "[::1"] {
            assert_eq!(ask(&local, "GET", &[("host", host)]), Some("invalid_host"), "{host}");
        }
        assert_eq!(ask(&local, "GET", &[]), Some("invalid_host"));
        assert_eq!(ask(&local, "GET", &[("host", "localhost"), ("host", "localhost")]), Some("invalid_host"));
        let absolute = axum::http::Request::get("http://evil.example/v1/jobs").header("host", "localhost").body(()).unwrap();
        assert_eq!(checked(&local, &absolute).unwrap_err().code(), "unknown_host");
    }

    #[test]
    fn another_address_answers_for_all_unless_some_are_given() {
        let open = settings("0.0.0.0:8080", "");
        assert_eq!(ask(&open, "GET", &[("host", "anything.example")]), None);
        let given = settings("[::]:8080", "flowers.example");
        for host in ["flowers.example", "10.1.2.3:8080", "localhost:8080", "[fe80::1]"] {
            assert_eq!(ask(&given, "GET", &[("host", host)]), None, "{host}");
        }
        assert_eq!(ask(&given, "GET", &[("host", "evil.example")]), Some("unknown_host"));
    }

    #[test]
    fn pages_of_other_origins_may_look_and_no_more() {
        let local = settings("127.0.0.1:8080", "flowers.example");
        let post = |origin: &str| ask(&local, "POST", &[("host", "localhost:8080"), ("origin", origin)]);
        assert_eq!(post("http://localhost:8080"), None);
        assert_eq!(post("https://flowers.example"), None);
        for origin in ["http://evil.example", "http://localhost", "http://localhost:8081", "null", "", "localhost:8080", "://"]
        {
            assert_eq!(post(origin), Some("foreign_origin"), "{origin}");
        }
        let usual = |origin: &str| ask(&local, "DELETE", &[("host", "localhost"), ("origin", origin)]);
        assert_eq!((usual("http://localhost"), usual("http://localhost:80"), usual("https://localhost")), (None, None, None));
        let site = |method, site| ask(&local, method, &[("host", "localhost"), ("sec-fetch-site", site)]);
        assert_eq!((site("POST", "same-origin"), site("POST", "none")), (None, None));
        assert_eq!((site("POST", "cross-site"), site("GET", "cross-site")), (Some("foreign_origin"), None));
        assert_eq!(ask(&local, "GET", &[("host", "localhost"), ("origin", "http://evil.example")]), None);
    }
}
