//! What only shows on a connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{Api, pictures};
use crate::api::serve;
use crate::store::testing::queued_job;

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), crate::api::ServeError>>,
}

async fn start(api: &Api) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(serve(listener, api.state.clone(), shutdown));
    Server { address, stop, task }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let api = Api::new().await;
    let server = start(&api).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let body = pictures();
    let head = format!("POST /v1/datasets?name=a HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body[..body.len() / 2]).await.unwrap();
    let arrived = async {
        while api.uploads().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived).await.unwrap();
    drop(client);
    let gone = async {
        while !api.uploads().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    assert!(api.state.store.dataset("a").await.is_err());
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_ends_streams_and_waits_for_no_one_forever() {
    let api = Api::new().await;
    let dataset = api.dataset("d").await["id"].as_str().unwrap().parse().unwrap();
    let job = queued_job(&api.state.store, dataset).await;
    let server = start(&api).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.stop.send(()).unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(5), server.task).await;
    stopped.expect("the open stream must end").unwrap().unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("event: state") && rest.ends_with("0\r\n\r\n"), "the stream ends in good order: {rest}");
}
