//! A request's body: read within the limit, decompressed within the same.

use std::io::Read;

use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use super::binary;
use crate::api::ApiError;

/// A body as it came.
pub(super) struct Body {
    bytes: Bytes,
    coding: Coding,
    json_length: Option<usize>,
    limit: usize,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    /// Which in HTTP means zlib's format (RFC 9110, section 8.4.1.2).
    Deflate,
}

impl Body {
    /// Reads it; at most `limit` bytes.
    pub async fn read(mut request: Request, limit: usize) -> Result<Self, ApiError> {
        let (coding, json_length) = (coding(request.headers())?, binary::json_length(request.headers())?);
        DefaultBodyLimit::max(limit).apply(&mut request);
        Ok(Self { bytes: Bytes::from_request(request, &()).await?, coding, json_length, limit })
    }

    /// Its JSON, and what lies behind it. The header gives the JSON's length before compression.
    pub fn parts(self) -> Result<(Bytes, binary::Rest), ApiError> {
        let bytes = match self.coding {
            Coding::Identity => self.bytes,
            Coding::Gzip => expanded(MultiGzDecoder::new(&*self.bytes), self.limit)?,
            Coding::Deflate => expanded(ZlibDecoder::new(&*self.bytes), self.limit)?,
        };
        binary::split(bytes, self.json_length)
    }
}

fn coding(headers: &HeaderMap) -> Result<Coding, ApiError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Coding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "deflate" => Ok(Coding::Deflate),
        other => {
            let detail = format!("the content-encoding {other:?} isn't taken: send gzip, deflate or none");
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail))
        }
    }
}

fn expanded(reader: impl Read, limit: usize) -> Result<Bytes, ApiError> {
    let limit = limit as u64;
    let mut bytes = Vec::new();
    // One byte more than is taken, to tell a body that is too large from one that just fits.
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
        let detail = format!("the body isn't compressed as its content-encoding says ({error})");
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_encoding", detail)
    })?;
    match bytes.len() as u64 > limit {
        true => Err(ApiError::too_large("the decompressed body", limit)),
        false => Ok(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    async fn read(coding: Option<&str>, bytes: Vec<u8>) -> Result<Bytes, u16> {
        let mut request = Request::builder();
        if let Some(coding) = coding {
            request = request.header(header::CONTENT_ENCODING, coding);
        }
        let body = Body::read(request.body(bytes.into()).unwrap(), 1000).await;
        let parts = body.and_then(Body::parts).map_err(|error| error.status().as_u16())?;
        Ok(parts.0)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::default());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut writer = ZlibEncoder::new(Vec::new(), Compression::default());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[tokio::test]
    async fn bodies_come_compressed_or_not() {
        for (coding, bytes) in [
            (None, b"{}".to_vec()),
            (Some("identity"), b"{}".to_vec()),
            (Some("gzip"), gzip(b"{}")),
            (Some("GZIP"), [gzip(b"{"), gzip(b"}")].concat()),
            (Some("deflate"), deflate(b"{}")),
        ] {
            assert_eq!(read(coding, bytes).await.unwrap(), "{}", "{coding:?}");
        }
    }

    #[tokio::test]
    async fn what_expands_beyond_the_limit_or_is_no_such_stream_is_refused() {
        let zeros = vec![0; 1001];
        for (coding, bytes, status) in [
            (Some("gzip"), gzip(&zeros), 413),
            (Some("deflate"), deflate(&zeros), 413),
            (None, zeros.clone(), 413),
            (Some("gzip"), b"{}".to_vec(), 400),
            (Some("gzip"), gzip(&zeros[..900])[..15].to_vec(), 400),
            (Some("br"), b"{}".to_vec(), 415),
        ] {
            assert_eq!(read(coding, bytes).await, Err(status), "{coding:?}");
        }
        assert_eq!(read(Some("gzip"), gzip(&zeros[..1000])).await.unwrap().len(), 1000);
    }
}
