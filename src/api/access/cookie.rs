//! The cookie in which a browser keeps the key of whoever signed in on the page.

use axum::http::HeaderValue;

/// The cookie.
pub(in crate::api) struct Cookie;

impl Cookie {
    /// Its name.
    pub const NAME: &str = "topgraft_key";

    /// The header that has it kept until the browser closes; `secure` if it came over HTTPS, where it then stays. `None` for what no
    /// cookie can hold.
    ///
    /// Without a path: the browser takes the folder of the page that it signed in on, so that a prefix, which the server doesn't know
    /// of, is kept. Other sites' pages can make the browser show a page with it, and send nothing else.
    pub fn keep(value: &str, secure: bool) -> Option<HeaderValue> {
        let secure = if secure { "; Secure" } else { "" };
        format!("{}={value}; HttpOnly; SameSite=Lax{secure}", Self::NAME).parse().ok()
    }

    /// The header that has it forgotten.
    pub const fn forget() -> HeaderValue {
        HeaderValue::from_static("topgraft_key=; HttpOnly; SameSite=Lax; Max-Age=0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_out_of_scripts_reach() {
        assert_eq!(Cookie::keep("tg_x", true).unwrap(), "topgraft_key=tg_x; HttpOnly; SameSite=Lax; Secure");
        assert!(Cookie::keep("a\nb", false).is_none());
        assert!(Cookie::forget().to_str().unwrap().starts_with(&format!("{}=;", Cookie::NAME)));
    }
}
