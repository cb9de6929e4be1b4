use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Api};
use crate::store::{DeliveryOutcome, now};

const URL: &str = "https://example.com/hook";

impl Api {
    async fn hooked(&self, uri: &str, webhook: Value) -> Answer {
        let mut body = json!({"dataset": "d", "model": "m", "webhook": webhook});
        if uri == "/v1/sweeps" {
            body["vary"] = json!({"seed": [1, 2]});
        }
        self.post_json(uri, body).await
    }

    /// Claims the one message that is due, and says what came of it.
    async fn attempted(&self, outcome: DeliveryOutcome) {
        let claimed = self.state.store.claim_deliveries(Uuid::now_v7(), now() + 60_000, 1000, 9).await.unwrap();
        let [delivery] = &claimed[..] else { panic!("not one message: {claimed:?}") };
        self.state.store.record_delivery(delivery.id, delivery.lease, &outcome).await.unwrap();
    }
}

#[tokio::test]
async fn jobs_and_sweeps_show_how_their_webhooks_stand() {
    let api = Api::new().await;
    api.dataset("d").await;
    for of in ["/v1/jobs", "/v1/sweeps"] {
        let submitted = api.hooked(of, json!({"url": "https://EXAMPLE.com/hook"})).await;
        assert_eq!(submitted.status, 202, "{:?}", submitted.body);
        let uri = submitted.headers["location"].to_str().unwrap();
        let pending = json!({"url": URL, "state": "pending", "attempts": 0});
        for shown in [submitted.json(), api.get(uri).await.json(), api.get(of).await.json()["items"][0].clone()] {
            assert_eq!(shown["webhook"], pending, "{of}");
        }
        let cancelled = api.post(&format!("{uri}/cancel"), "", "").await.json();
        assert_eq!((&cancelled["state"], &cancelled["webhook"]), (&"cancelled".into(), &pending));
        let error = "the receiver answered 500".to_owned();
        api.attempted(DeliveryOutcome::Again { at: now(), error: error.clone() }).await;
        let failing = json!({"url": URL, "state": "pending", "attempts": 1, "last_error": error});
        assert_eq!(api.get(uri).await.json()["webhook"], failing);
        api.attempted(DeliveryOutcome::Delivered).await;
        let delivered = json!({"url": URL, "state": "delivered", "attempts": 2, "last_error": error});
        for shown in [api.get(uri).await.json(), api.get(of).await.json()["items"][0].clone()] {
            assert_eq!(shown["webhook"], delivered, "{of}");
        }
    }
    // Trials have none of their own, nor have jobs that asked for none.
    let jobs = api.get("/v1/jobs").await.json();
    assert_eq!(jobs["items"].as_array().unwrap().iter().filter(|job| job.get("webhook").is_some()).count(), 1);
}

#[tokio::test]
async fn a_webhook_that_may_not_be_called_is_refused_at_once() {
    let api = Api::new().await;
    api.dataset("d").await;
    for uri in ["/v1/jobs", "/v1/sweeps"] {
        for url in [
            "",
            "example.com",
            "http://example.com/",
            "ftp://example.com/",
            "https://u:p@example.com/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://0x7f000001/",
            "https://example.com/#a",
        ] {
            let answer = api.hooked(uri, json!({"url": url})).await;
            assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{url}");
            assert_eq!(answer.json()["errors"][0]["field"], "webhook.url", "{url}");
        }
        for webhook in [json!({}), json!({"url": URL, "secret": "a"}), json!(URL)] {
            assert_eq!(api.hooked(uri, webhook).await.problem(), (422, "invalid_body".to_owned()));
        }
    }
    let open = Api::with(|settings| settings.webhook_allow_private = true).await;
    open.dataset("d").await;
    assert_eq!(open.hooked("/v1/jobs", json!({"url": "http://10.0.0.1/"})).await.status, 202);
    assert_eq!(open.hooked("/v1/jobs", json!({"url": "ftp://10.0.0.1/"})).await.problem().0, 422);
}
