//! The address that a user asks for, checked when it is asked for. Where it leads is checked again at each connection: a name
//! may lead elsewhere by then.

use std::net::IpAddr;

use url::{Host, Url};

use super::is_public;

/// Longest address of a webhook, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// An address that no webhook can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Too long.
    #[error("must be at most {MAX_URL_BYTES} bytes long")]
    TooLong,
    /// Not an address.
    #[error("must be an address such as https://example.com/hook: {0}")]
    NotAnAddress(url::ParseError),
    /// It can't be written into a request.
    #[error("has characters that can't be sent: percent-encode them")]
    Unsendable,
    /// Another scheme.
    #[error("must begin with {0}")]
    Scheme(&'static str),
    /// Someone's credentials.
    #[error("must hold no user name and no password: a receiver knows the sender by the signature")]
    Credentials,
    /// A part that stays with the sender.
    #[error("must have no #fragment: it would not be sent")]
    Fragment,
    /// It leads to the operator's network, or nowhere.
    #[error("must not lead to a private or special address; the setting webhook_allow_private permits it")]
    Private,
}

/// The address as it will be called, or what is wrong with it. Names aren't looked up here.
///
/// # Errors
/// [`InvalidUrl`], in words that follow the name of the field.
pub fn checked_url(text: &str, allow_private: bool) -> Result<String, InvalidUrl> {
    if text.len() > MAX_URL_BYTES {
        return Err(InvalidUrl::TooLong);
    }
    let url = Url::parse(text).map_err(InvalidUrl::NotAnAddress)?;
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        _ if allow_private => return Err(InvalidUrl::Scheme("https:// or http://")),
        _ => return Err(InvalidUrl::Scheme("https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl::Credentials);
    }
    if url.fragment().is_some() {
        return Err(InvalidUrl::Fragment);
    }
    let literal = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => return Err(InvalidUrl::NotAnAddress(url::ParseError::EmptyHost)),
    };
    if !allow_private && literal.is_some_and(|address| !is_public(address)) {
        return Err(InvalidUrl::Private);
    }
    // What is kept is what was checked, not the text: two readers of one odd text could find two hosts in it.
    let url = String::from(url);
    if url.len() > MAX_URL_BYTES {
        return Err(InvalidUrl::TooLong);
    }
    match ureq::http::Uri::try_from(url.as_str()) {
        Ok(_) => Ok(url),
        Err(_) => Err(InvalidUrl::Unsendable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_when_they_are_asked_for() {
        let long = |bytes: usize| format!("https://example.com/{}", "a".repeat(bytes - "https://example.com/".len()));
        for (text, kept) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://Example.COM:443/a?b=c d", "https://example.com/a?b=c%20d"),
            ("https://example.com:8443/hook", "https://example.com:8443/hook"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://8.8.8.8/", "https://8.8.8.8/"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
            (&long(2048), &long(2048)),
        ] {
            assert_eq!(checked_url(text, false).as_deref(), Ok(kept), "{text}");
            assert_eq!(checked_url(text, true).as_deref(), Ok(kept), "{text}");
        }
        for (text, refusal) in [
            (long(2049), InvalidUrl::TooLong),
            ("https://example.com/?é".to_owned() + &"é".repeat(1000), InvalidUrl::TooLong),
            ("/hook".to_owned(), InvalidUrl::NotAnAddress(url::ParseError::RelativeUrlWithoutBase)),
            ("https://".to_owned(), InvalidUrl::NotAnAddress(url::ParseError::EmptyHost)),
            ("https://a:0:1/".to_owned(), InvalidUrl::NotAnAddress(url::ParseError::InvalidPort)),
            ("http://example.com/".to_owned(), InvalidUrl::Scheme("https://")),
            ("file:///etc/passwd".to_owned(), InvalidUrl::Scheme("https://")),
            ("https://user@example.com/".to_owned(), InvalidUrl::Credentials),
            ("https://:secret@example.com/".to_owned(), InvalidUrl::Credentials),
            ("https://example.com/#part".to_owned(), InvalidUrl::Fragment),
        ] {
            assert_eq!(checked_url(&text, false), Err(refusal), "{text}");
        }
        assert_eq!(checked_url("gopher://example.com/", true), Err(InvalidUrl::Scheme("https:// or http://")));
        assert_eq!(checked_url("http://example.com/", true).as_deref(), Ok("http://example.com/"));
    }

    #[test]
    fn private_addresses_are_refused_however_they_are_written() {
        for host in
            ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"]
        {
            let text = format!("https://{host}/");
            assert_eq!(checked_url(&text, false), Err(InvalidUrl::Private), "{text}");
            assert!(checked_url(&text, true).is_ok(), "{text}");
        }
    }
}
