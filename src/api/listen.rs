//! Connections: taken up to a bound, each within limits of what it may cost, and ended in good order.
//!
//! axum's own `serve` has no such limits. What this adds, in the order in which a connection meets it: a place among
//! `max_connections` before it is accepted; a time for a request's head and a bound on its size; a time for taking the answer;
//! and where an answer goes out before its request has come whole, a moment in which the rest is read, as a client that is
//! still sending would otherwise see a broken connection and no answer.

mod stream;

use std::net::SocketAddr;
use std::pin::{self, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::gauge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use stream::{Patient, Watched};

/// The most bytes of a request's head. How many fields it may have is hyper's own bound, 100.
const MAX_HEAD: usize = 64 << 10;
/// How long to wait when a connection can't be accepted: as a rule there are too many open files, and some will be closed.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);
/// The most that is read of a request whose answer has gone out already, in bytes.
const LEFT_OVER: u64 = 8 << 20;
/// How long that may take.
const LEFT_OVER_WITHIN: Duration = Duration::from_secs(1);
/// How long connections that are idle stay open when the server stops: a request may be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    connections: usize,
    head: Duration,
    answer_idle: Duration,
}

impl Bounds {
    /// Those of the settings.
    pub fn of(settings: &Settings) -> Self {
        Self {
            connections: settings.max_connections as usize,
            head: Duration::from_secs(u64::from(settings.header_seconds)),
            answer_idle: Duration::from_secs(u64::from(settings.answer_idle_seconds)),
        }
    }
}

/// The connections that are open when no more are taken. Dropped, they are cut off.
pub(super) struct Connections {
    open: JoinSet<()>,
    closing: CancellationToken,
}

impl Connections {
    /// Closes those that are idle, and waits for the answers on the others.
    pub async fn ended(&mut self) {
        tokio::time::sleep(ON_ITS_WAY).await;
        self.closing.cancel();
        while let Some(ended) = self.open.join_next().await {
            note(ended);
        }
    }
}

/// Serves connections until `stop` is over. Those that were made by then are served too, the listener is closed, and all that
/// are still open are handed back.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> Connections {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_header_size(MAX_HEAD);
    let mut connections = Connections { open: JoinSet::new(), closing: CancellationToken::new() };
    let open = |connections: &mut Connections, (stream, peer): (TcpStream, SocketAddr), place| {
        let connection = Connection { http: http.clone(), closing: connections.closing.clone(), peer, _place: place };
        connections.open.spawn(connection.serve(Patient::new(stream, bounds.answer_idle), router.clone()));
    };
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.open.join_next() => note(ended),
            (accepted, place) = next(&listener, &places) => open(&mut connections, accepted, place),
        }
        gauge!("topgraft_http_connections").set(connections.open.len() as f64);
    }
    // Whoever is connected may have sent a request, though nobody has looked yet.
    while let Ok(place) = Arc::clone(&places).try_acquire_owned()
        && let Some(Ok(accepted)) = listener.accept().now_or_never()
    {
        open(&mut connections, accepted, place);
    }
    connections
}

/// The next connection, once there is a place for it: until then the system's own queue holds it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> ((TcpStream, SocketAddr), OwnedSemaphorePermit) {
    // Nobody closes the semaphore.
    let place = Arc::clone(places).acquire_owned().await.expect("an open semaphore");
    loop {
        match listener.accept().await {
            Ok(accepted) => return (accepted, place),
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connections can't be accepted and wait");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// Whether a connection was gone before it was accepted.
fn is_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection broke down");
    }
}

/// A connection that was accepted.
struct Connection {
    http: http1::Builder,
    /// Cancelled when idle connections are to be closed.
    closing: CancellationToken,
    peer: SocketAddr,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Answers its requests, one after another.
    async fn serve(self, stream: Patient<TcpStream>, router: Router) {
        // Answers are written whole or flushed on purpose: holding small ones back only makes them late. Where that can't be
        // set, they are late.
        let _ = stream.get_ref().set_nodelay(true);
        let (left_over, peer) = (Arc::new(AtomicBool::new(false)), self.peer);
        let (watched, router) = (Arc::clone(&left_over), TowerToHyperService::new(router));
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(|body| Body::new(Watched::new(body, Arc::clone(&watched))));
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        let mut connection = self.http.serve_connection(TokioIo::new(stream), service);
        let served = tokio::select! {
            biased;
            served = &mut connection => served,
            () = self.closing.cancelled() => {
                pin::Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        if let Err(error) = &served {
            // The client's doing: it went away, was too slow, or sent what is no HTTP.
            tracing::debug!(%peer, %error, "a connection ended early");
        }
        let mut stream = connection.into_parts().io.into_inner();
        // After an error nobody has done this yet. Whatever fails from here on, the answer has gone out or can't.
        let _ = stream.shutdown().await;
        if served.is_err() || left_over.load(Ordering::Relaxed) {
            let (mut left_over, mut nowhere) = (stream.take(LEFT_OVER), tokio::io::sink());
            let read = tokio::io::copy(&mut left_over, &mut nowhere);
            let _ = tokio::time::timeout(LEFT_OVER_WITHIN, read).await;
        }
    }
}
