//! An S3 server in this process, that can be told to misbehave.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::storage::s3;

pub const BUCKET: &str = "flowers";
/// How often the client asks again.
pub const RETRIES: usize = 3;
const SECRET: &str = "hunter2hunter2";

/// What the server is to do, and what it was asked.
#[derive(Default)]
pub struct Tricks {
    /// So many requests are answered with 503.
    pub refuse: AtomicUsize,
    /// So many requests are done, but answered with 500.
    pub lose: AtomicUsize,
    /// Parts of this number and more are answered with 503, unless it is 0.
    pub refuse_parts: AtomicUsize,
    /// Parts that are on their way just now, and the most that were.
    pub parts: AtomicUsize,
    pub most_parts: AtomicUsize,
    /// Answers to GET break after so many bytes, unless it is 0.
    pub cut: AtomicUsize,
    /// Method, path, query and range of each request that was done.
    pub log: Mutex<Vec<String>>,
    /// The server that this is made of looks and writes in two steps; a bucket does so in one.
    one: tokio::sync::Mutex<()>,
}

pub struct Server {
    pub tricks: Arc<Tricks>,
    pub dir: TempDir,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut s3 = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        s3.set_auth(SimpleAuth::from_single("AKIATEST", SECRET));
        let s3 = s3.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tricks = Arc::new(Tricks::default());
        let task = tokio::spawn(serve(listener, s3, Arc::clone(&tricks)));
        Self { tricks, dir, address, task }
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.store_of(BUCKET, "top/graft", SECRET)
    }

    pub fn store_of(&self, bucket: &str, prefix: &str, secret: &str) -> Arc<dyn ObjectStore> {
        let endpoint = format!("http://{}", self.address);
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AKIATEST"),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let pause = Duration::from_millis(1);
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: pause, max_backoff: 2 * pause, base: 2.0 },
            max_retries: RETRIES,
            retry_timeout: Duration::from_secs(60),
        };
        s3::connect(bucket, prefix, variables, retry).unwrap()
    }

    /// What was asked since it was last looked at.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.tricks.log.lock().unwrap())
    }
}

async fn serve(listener: TcpListener, s3: S3Service, tricks: Arc<Tricks>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (s3, tricks) = (s3.clone(), Arc::clone(&tricks));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| answer(&s3, &tricks, request));
            // A connection that is cut ends with an error.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(s3: &S3Service, tricks: &Tricks, request: Request<Incoming>) -> Result<Response<Cut>, Infallible> {
    let part = part(request.uri().query().unwrap_or_default());
    let refused = tricks.refuse_parts.load(Ordering::Relaxed);
    if take(&tricks.refuse) || part.is_some_and(|part| refused > 0 && part >= refused) {
        return Ok(failure(StatusCode::SERVICE_UNAVAILABLE));
    }
    let range = request.headers().get("range").map_or("", |range| range.to_str().unwrap());
    tricks.log.lock().unwrap().push(format!("{} {} {range}", request.method(), request.uri()));
    let left = match tricks.cut.load(Ordering::Relaxed) {
        bytes if bytes > 0 && request.method() == Method::GET => bytes,
        _ => usize::MAX,
    };
    let conditional = request.headers().contains_key("if-none-match");
    let _one = if conditional { Some(tricks.one.lock().await) } else { None };
    if part.is_some() {
        tricks.most_parts.fetch_max(tricks.parts.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    let answered = s3.call(request.map(s3s::Body::from)).await.unwrap();
    if part.is_some() {
        tricks.parts.fetch_sub(1, Ordering::Relaxed);
    }
    if take(&tricks.lose) {
        return Ok(failure(StatusCode::INTERNAL_SERVER_ERROR));
    }
    Ok(answered.map(|body| Cut { body, left }))
}

/// The number of the part that a request brings.
fn part(query: &str) -> Option<usize> {
    query.split('&').find_map(|pair| pair.strip_prefix("partNumber="))?.parse().ok()
}

fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn failure(status: StatusCode) -> Response<Cut> {
    let body = s3s::Body::from("<Error><Code>SlowDown</Code></Error>".to_owned());
    let mut response = Response::new(Cut { body, left: usize::MAX });
    *response.status_mut() = status;
    response
}

/// A body that breaks.
pub struct Cut {
    body: s3s::Body,
    left: usize,
}

impl Body for Cut {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        if self.left == 0 {
            return Poll::Ready(Some(Err("cut".into())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_ok(|frame| {
            frame.map_data(|mut data| {
                data.truncate(self.left);
                self.left -= data.len();
                data
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
