//! Deliveries to a receiver that really listens. Time is given, so that nobody waits for a pause.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use uuid::Uuid;

use super::{Deliverer, SigningSecret};
use crate::config::Settings;
use crate::recipe::Recipe;
use crate::store::testing::{Temp, ready_dataset, temp};
use crate::store::{DeliveryStatus, NewJob, WebhookState, now};

/// A request as it came.
struct Got {
    line: String,
    head: Vec<String>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let mut fields = self.head.iter().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).unwrap().1.trim()
    }
}

/// Answers one connection after the other, as given; what came. The port is closed after the last answer.
fn receiver(answers: &[&str]) -> (u16, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, got) = channel();
    let answers: Vec<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head: Vec<String> = Vec::new();
            while head.last().is_none_or(|line| !line.is_empty()) {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                head.push(line.trim_end().to_owned());
            }
            let mut got = Got { line: head.remove(0), head, body: String::new() };
            reader.take(got.header("content-length").parse().unwrap()).read_to_string(&mut got.body).unwrap();
            (&stream).write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
            let _ = sender.send(got);
        }
    });
    (port, got)
}

struct Hook {
    t: Temp,
    settings: Settings,
    deliverer: Deliverer,
    job: Uuid,
}

impl Hook {
    /// A job that has been cancelled, with its webhook at this address.
    async fn at(url: String, allow_private: bool) -> Self {
        let t = temp().await;
        let data_dir = t.dir.path().join("run");
        let settings = Settings { data_dir, webhook_allow_private: allow_private, ..Settings::default() };
        let deliverer = Deliverer::new(t.store.clone(), &settings).unwrap();
        let dataset = ready_dataset(&t.store, "d").await;
        let (id, model) = (Uuid::now_v7(), "flowers".parse().unwrap());
        let new = NewJob { id, dataset, model, recipe: Recipe::default(), webhook: Some(url), allowance: None };
        let job = t.store.insert_job(&new, None).await.unwrap().id;
        t.store.request_cancel(job).await.unwrap();
        Self { t, settings, deliverer, job }
    }

    /// Delivers what is due so many seconds from now; how the job's message then stands.
    async fn after(&self, seconds: i64) -> DeliveryStatus {
        for delivery in self.deliverer.due(4, now() + seconds * 1000).await {
            self.deliverer.clone().deliver(delivery).await;
        }
        self.t.store.deliveries(&[self.job]).await.unwrap().remove(0)
    }
}

#[tokio::test]
async fn a_message_is_signed_and_comes_again_after_a_500() {
    let (port, got) = receiver(&["500 Internal Server Error", "204 No Content"]);
    let hook = Hook::at(format!("http://127.0.0.1:{port}/hook?key=1"), true).await;
    let failed = hook.after(0).await;
    let last_error = Some("the receiver answered 500".to_owned());
    assert_eq!(failed, DeliveryStatus { of: hook.job, state: WebhookState::Pending, attempts: 1, last_error });
    assert_eq!(hook.after(0).await.attempts, 1, "not before the pause is over");
    let delivered = hook.after(7).await;
    assert_eq!((delivered.state, delivered.attempts), (WebhookState::Delivered, 2));
    assert_eq!(hook.after(1_000_000).await.attempts, 2, "once is enough");

    let (first, second) = (got.recv().unwrap(), got.recv().unwrap());
    let secret = SigningSecret::of(&hook.settings).unwrap();
    for got in [&first, &second] {
        assert_eq!((got.line.as_str(), got.header("content-type")), ("POST /hook?key=1 HTTP/1.1", "application/json"));
        let (id, timestamp) = (got.header("webhook-id"), got.header("webhook-timestamp").parse().unwrap());
        assert_eq!((id, got.header("webhook-signature")), (&*hook.job.to_string(), &*secret.sign(id, timestamp, &got.body)));
        assert!((now() / 1000 - timestamp).abs() < 60, "{timestamp}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&got.body).unwrap()["type"], "job.cancelled");
    }
    assert_eq!(first.body, second.body);
    assert!(first.header("user-agent").starts_with("topgraft/"));
}

#[tokio::test]
async fn redirects_are_not_followed_and_gone_is_gone() {
    let (elsewhere, never) = receiver(&["200 OK"]);
    let location = format!("302 Found\r\nlocation: http://127.0.0.1:{elsewhere}/");
    let (port, _got) = receiver(&[&location, "410 Gone"]);
    let hook = Hook::at(format!("http://127.0.0.1:{port}/"), true).await;
    let redirected = hook.after(0).await;
    assert_eq!((redirected.state, redirected.attempts), (WebhookState::Pending, 1));
    assert!(redirected.last_error.unwrap().contains("answered 302"));
    let gone = hook.after(7).await;
    assert_eq!((gone.state, gone.attempts), (WebhookState::GivenUp, 2));
    assert!(never.recv_timeout(Duration::from_millis(10)).is_err());
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    // That of a name, and that of a number: both are looked up.
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let (port, got) = receiver(&["200 OK"]);
        let hook = Hook::at(format!("http://{host}:{port}/"), false).await;
        let refused = hook.after(0).await;
        assert_eq!((refused.state, refused.attempts), (WebhookState::Pending, 1), "{host}");
        assert!(refused.last_error.unwrap().contains("webhook_allow_private"), "{host}");
        assert!(got.recv_timeout(Duration::from_millis(10)).is_err(), "{host}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_never_there_is_given_up() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hook = Hook::at(format!("http://127.0.0.1:{port}/"), true).await;
    let mut attempts = 0;
    // A day later than the day before.
    for day in 0..20 {
        let status = hook.after(day * 86_400).await;
        attempts += 1;
        if status.state == WebhookState::GivenUp {
            break;
        }
        assert_eq!((status.state, status.attempts), (WebhookState::Pending, attempts));
    }
    let status = hook.after(100 * 86_400).await;
    assert_eq!((status.state, status.attempts, attempts), (WebhookState::GivenUp, 9, 9));
    assert!(status.last_error.unwrap().starts_with("there was no answer"));
}

#[tokio::test]
async fn what_is_due_is_delivered_until_the_server_stops() {
    let (port, got) = receiver(&["200 OK"]);
    let hook = Hook::at(format!("http://127.0.0.1:{port}/"), true).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(hook.deliverer.clone().run(stopped));
    let got = tokio::task::spawn_blocking(move || got.recv_timeout(Duration::from_secs(20))).await.unwrap().unwrap();
    assert_eq!(got.header("webhook-id"), hook.job.to_string());
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it must end").unwrap();
    // What was under way when it was asked to stop has been written down.
    assert_eq!(hook.after(0).await.state, WebhookState::Delivered);
}
