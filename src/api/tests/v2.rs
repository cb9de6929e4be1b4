use serde_json::json;

use super::{Answer, Api};

fn error(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    (answer.status.as_u16(), body["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn health_and_metadata_of_the_server() {
    let api = Api::new().await;
    assert_eq!(api.get("/v2/health/live").await.json(), json!({"live": true}));
    let ready = api.get("/v2/health/ready").await;
    assert_eq!((ready.status.as_u16(), ready.json()), (503, json!({"ready": false})), "its engine is gone");
    let server = api.get("/v2").await.json();
    assert_eq!(
        (&server["name"], &server["extensions"]),
        (&json!("topgraft"), &json!(["binary_tensor_data", "classification"]))
    );
    assert!(server["version"].as_str().unwrap().contains('.'));
}

#[tokio::test]
async fn metadata_of_a_model() {
    let api = Api::new().await;
    api.dataset("d").await;
    api.publish().await;
    api.publish().await;
    let model = api.get("/v2/models/flowers/versions/1").await.json();
    assert_eq!((&model["name"], &model["versions"]), (&json!("flowers"), &json!(["1", "2"])));
    let pictures = json!({"name": "pictures", "datatype": "BYTES", "shape": [-1]});
    let pixels = json!({"name": "pixels", "datatype": "FP32", "shape": [-1, 224, 224, 3]});
    assert_eq!(model["inputs"], json!([pictures, pixels]));
    assert_eq!(model["outputs"][0], json!({"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}));
    let ready = api.get("/v2/models/flowers/ready").await;
    assert_eq!((ready.status.as_u16(), ready.json()), (503, json!({"name": "flowers", "ready": false})));
}

#[tokio::test]
async fn errors_are_the_protocols() {
    let api = Api::with(|settings| settings.max_predict_bytes = 1000).await;
    api.dataset("d").await;
    api.publish().await;
    let infer = "/v2/models/flowers/infer";
    for uri in
        ["/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/flowers/versions/9", "/v2/models/flowers/versions/x/ready"]
    {
        assert_eq!(error(&api.get(uri).await).0, 404, "{uri}");
    }
    assert_eq!(error(&api.post_json("/v2/models/nobody/infer", json!({})).await), (404, "there is no such model".to_owned()));
    assert_eq!(error(&api.post(infer, "application/json", "{").await).0, 400);
    assert_eq!(error(&api.post(infer, "application/json", " ".repeat(1001)).await).0, 413);
    let tensor = |data: serde_json::Value| json!({"name": "pictures", "datatype": "BYTES", "shape": [1], "data": data});
    let both =
        json!({"name": "pictures", "datatype": "BYTES", "shape": [1], "data": ["YQ=="], "parameters": {"binary_data_size": 4}});
    for (body, message) in [
        (json!({}), "missing field `inputs`"),
        (json!({"inputs": []}), "one tensor, not 0"),
        (json!({"inputs": [tensor(json!(["YQ=="])), tensor(json!(["YQ=="]))]}), "one tensor, not 2"),
        (json!({"inputs": [{"name": "pictures", "datatype": "BYTES", "shape": [1]}]}), "data is missing"),
        (json!({"inputs": [{"name": "pictures", "datatype": "BYTES", "shape": [-1], "data": []}]}), "invalid value"),
        (json!({"inputs": [both]}), "together"),
        (json!({"inputs": [tensor(json!(["!"]))]}), "base64"),
        (json!({"inputs": [tensor(json!(["YQ=="]))], "outputs": [{"name": "logits"}]}), "logits"),
    ] {
        let (status, text) = error(&api.post_json(infer, body.clone()).await);
        assert!(status == 422 && text.contains(message), "{body}: {status} {text}");
    }
    let answer = api.post_json(infer, json!({"inputs": [tensor(json!(["YQ=="]))]})).await;
    assert!(matches!(error(&answer).0, 422 | 503), "a text is no picture, and the engine is gone");
}
