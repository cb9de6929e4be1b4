//! The protocol's binary tensor extension: elements behind the JSON, little-endian, row-major, without padding.

use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;

use crate::api::ApiError;

/// How many bytes of a body are JSON; the rest are elements.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The bytes of a text's length.
const LENGTH: usize = size_of::<u32>();

/// The length of a request's JSON; none if it is JSON all through.
pub(super) fn json_length(headers: &HeaderMap) -> Result<Option<usize>, ApiError> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| malformed(format!("the header {JSON_LENGTH} must be the length of the JSON in bytes")))
}

/// Divides a body into its JSON and what lies behind it.
pub(super) fn split(mut body: Bytes, json_length: Option<usize>) -> Result<(Bytes, Rest), ApiError> {
    let length = json_length.unwrap_or(body.len());
    if length > body.len() {
        let detail = format!("{JSON_LENGTH} is {length}, but the body has {} bytes", body.len());
        return Err(malformed(detail));
    }
    let rest = body.split_off(length);
    Ok((body, Rest(rest)))
}

/// What lies behind the JSON, from which each input takes its part in turn.
pub(super) struct Rest(Bytes);

impl Rest {
    /// The next `size` bytes.
    pub fn take(&mut self, size: u64) -> Result<Bytes, ApiError> {
        match usize::try_from(size) {
            Ok(size) if size <= self.0.len() => Ok(self.0.split_to(size)),
            _ => Err(malformed(format!("binary_data_size is {size}, but {} bytes are left in the body", self.0.len()))),
        }
    }

    /// Nothing may be left over.
    pub fn end(&self) -> Result<(), ApiError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(malformed(format!("{left} bytes of the body belong to no input: check binary_data_size"))),
        }
    }
}

/// The elements of a tensor of byte strings: each a length of 4 bytes, then as many bytes.
pub(super) fn byte_strings(mut bytes: Bytes) -> Result<Vec<Bytes>, ApiError> {
    let mut strings = Vec::new();
    while !bytes.is_empty() {
        let cut_short = || malformed(format!("the elements of a BYTES tensor are cut short in number {}", strings.len()));
        let (length, _) = bytes.split_first_chunk::<LENGTH>().ok_or_else(cut_short)?;
        // Fails only where an address has fewer than 32 bits; what doesn't fit there isn't in the body either.
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut_short())?;
        let end = LENGTH.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(cut_short)?;
        let string = bytes.split_to(end).slice(LENGTH..);
        strings.push(string);
    }
    Ok(strings)
}

/// The reverse of [`byte_strings`].
pub(super) fn from_texts(texts: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(texts.iter().map(|text| LENGTH + text.len()).sum());
    for text in texts {
        // Texts are class names, a hundred characters at most, with a number before them.
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// 32-bit floats.
pub(super) fn from_floats(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// A body that isn't put together as the extension says.
fn malformed(detail: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_binary", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_divided_where_the_header_says() {
        let (json, mut rest) = split(Bytes::from("{}abcde"), Some(2)).unwrap();
        assert_eq!(json, "{}");
        assert_eq!(rest.take(3).unwrap(), "abc");
        assert!(rest.end().is_err() && rest.take(3).is_err() && rest.take(u64::MAX).is_err());
        assert_eq!(rest.take(2).unwrap(), "de");
        rest.end().unwrap();
        let (json, rest) = split(Bytes::from("{}"), None).unwrap();
        assert_eq!((json, rest.end().is_ok()), (Bytes::from("{}"), true));
        assert!(split(Bytes::from("{}"), Some(3)).is_err());
    }

    #[test]
    fn the_header_is_a_number_or_absent() {
        let headers = |text: &str| HeaderMap::from_iter([(JSON_LENGTH, text.parse().unwrap())]);
        assert_eq!(json_length(&HeaderMap::new()).unwrap(), None);
        assert_eq!(json_length(&headers("17")).unwrap(), Some(17));
        for wrong in ["", "-1", "1.0", "99999999999999999999999"] {
            assert!(json_length(&headers(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for bytes in [&b"\x01"[..], b"\x01\0\0", b"\x01\0\0\0", b"\x02\0\0\0a", b"\xff\xff\xff\xffa", b"\0\0\0\0\x01"] {
            assert!(byte_strings(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
        assert_eq!(byte_strings(Bytes::from_static(b"\0\0\0\0\x02\0\0\0ab")).unwrap(), [Bytes::new(), Bytes::from("ab")]);
        assert!(byte_strings(Bytes::new()).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn texts_come_back(texts in proptest::collection::vec(".{0,12}", 0..12)) {
            let read = byte_strings(from_texts(&texts).into()).unwrap();
            prop_assert_eq!(read, texts.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }

        /// Whatever the bytes are, the strings that come out have all of them, or there is an error.
        #[test]
        fn nothing_is_lost_or_made_up(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(strings) = byte_strings(bytes.clone().into()) {
                prop_assert_eq!(strings.iter().map(|string| LENGTH + string.len()).sum::<usize>(), bytes.len());
            }
        }
    }
}
