//! A form, part by part. axum's own reader keeps a part's head in memory until it ends, however long that takes; here it has a
//! bound.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::{BoxError, Error};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::ApiError;

/// The most bytes that may come between a part's content and the next one's. More than a head ever has, as the reader takes what
/// the connection has at hand, content included.
const MAX_HEAD: usize = 4 << 20;

/// What `head` says while content is read: nothing is counted.
const CONTENT: usize = usize::MAX;

/// A form that is being read.
pub(super) struct Form {
    parts: Multipart,
    /// Bytes that came since the next part was asked for.
    head: Arc<AtomicUsize>,
}

impl Form {
    /// Begins to read a request's form, within the limit that the request has for its whole body.
    pub async fn of(request: Request) -> Result<Self, ApiError> {
        let head = Arc::new(AtomicUsize::new(CONTENT));
        let counted = Arc::clone(&head);
        let request = request.map(|body| Body::new(Counted { body, head: counted }));
        Ok(Self { parts: Multipart::from_request(request, &()).await?, head })
    }

    /// The next part. What is left of the one before counts as its head: read that to its end first.
    pub async fn next(&mut self) -> Result<Option<Field<'_>>, ApiError> {
        self.head.store(0, Ordering::Relaxed);
        let next = self.parts.next_field().await;
        let came = self.head.swap(CONTENT, Ordering::Relaxed);
        match next {
            Err(_) if came >= MAX_HEAD => {
                let detail = "a part of the form doesn't begin where it should: send files as a form does";
                Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_multipart", detail))
            }
            next => Ok(next?),
        }
    }
}

/// A body whose bytes are counted while a part's head is looked for.
struct Counted {
    body: Body,
    head: Arc<AtomicUsize>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let came = self.head.load(Ordering::Relaxed);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && came != CONTENT
        {
            if came >= MAX_HEAD {
                return Poll::Ready(Some(Err("a part's head is too long".into())));
            }
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.head.store(came.saturating_add(bytes).min(CONTENT - 1), Ordering::Relaxed);
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Error::into_inner)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::DefaultBodyLimit;
    use axum::http::header;
    use futures_util::{StreamExt, stream};

    use super::*;

    async fn form(chunks: Vec<Vec<u8>>) -> Form {
        // As on a connection, which never has it all at hand.
        let chunks = stream::iter(chunks).then(|chunk| async {
            tokio::task::yield_now().await;
            Ok::<_, BoxError>(Bytes::from(chunk))
        });
        let request = Request::post("/").header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        let mut request = request.body(Body::from_stream(chunks)).unwrap();
        DefaultBodyLimit::disable().apply(&mut request);
        Form::of(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_refused_and_long_content_is_not() {
        let head = b"--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n".to_vec();
        let mut chunks = vec![head.clone()];
        chunks.extend(vec![vec![b'a'; 1 << 20]; 8]);
        chunks.push(b"\r\n--x--\r\n".to_vec());
        let mut whole = form(chunks).await;
        let mut field = whole.next().await.unwrap().unwrap();
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await.unwrap() {
            bytes += chunk.len();
        }
        assert_eq!(bytes, 8 << 20);
        drop(field);
        assert!(whole.next().await.unwrap().is_none());

        for beginning in [&b"--x\r\nx: "[..], b"", b"--x"] {
            let mut chunks = vec![beginning.to_vec()];
            chunks.extend(vec![vec![b'a'; 1 << 20]; 8]);
            let mut endless = form(chunks).await;
            let error = endless.next().await.err().unwrap();
            assert_eq!((error.status(), error.code()), (StatusCode::BAD_REQUEST, "invalid_multipart"), "{beginning:?}");
        }
    }
}
