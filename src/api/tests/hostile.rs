//! Requests that are wrong in kind, for every address that takes a body; and what every answer says to browsers.

use axum::body::Body;
use axum::http::{HeaderName, Request, header};
use serde_json::json;

use super::{Answer, Api};

/// Every address with a JSON body, and one that it would take as far as its form goes.
const TAKES_JSON: [(&str, &str, &str); 4] = [
    ("POST", "/v1/jobs", r#"{"dataset": "d", "model": "m"}"#),
    ("POST", "/v1/sweeps", r#"{"dataset": "d", "model": "m", "vary": {"head.units": [1]}}"#),
    ("PUT", "/v1/models/flowers/aliases/live", r#"{"version": 1}"#),
    ("POST", "/v1/models/flowers/predict", r#"{"image": "aGVsbG8="}"#),
];

async fn send(api: &Api, method: &str, uri: &str, media_type: Option<&str>, body: Vec<u8>) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(media_type) = media_type {
        request = request.header(header::CONTENT_TYPE, media_type);
    }
    api.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn what_is_no_json_of_the_right_form_is_refused_wherever_json_is_taken() {
    let api = Api::published().await;
    for (method, uri, good) in TAKES_JSON {
        let deep = format!("{{\"dataset\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let unknown = good.replacen('{', "{\"surprise\": 1, ", 1);
        let name = good.split('"').nth(1).unwrap();
        let twice = good.replacen('{', &format!("{{\"{name}\": null, \"{name}\": null, "), 1);
        let bodies: [(&str, Vec<u8>, &[u16]); 17] = [
            ("nothing", Vec::new(), &[400]),
            ("half", good[..good.len() - 1].into(), &[400]),
            ("something behind", format!("{good} {{}}").into(), &[400]),
            ("no UTF-8", [b"{\"", &[0xff, 0xfe][..], b"\": 1}"].concat(), &[400, 422]),
            ("a byte order mark", format!("\u{feff}{good}").into(), &[400]),
            ("half a surrogate pair", br#"{"dataset": "\ud800"}"#.into(), &[400, 422]),
            ("NaN", good.replacen('{', "{\"a\": NaN, ", 1).into(), &[400, 422]),
            ("a comment", format!("/* */ {good}").into(), &[400]),
            ("a number beyond any", b"1e999".into(), &[400, 422]),
            ("a hundred thousand brackets", "[".repeat(100_000).into(), &[400, 422]),
            ("a hundred thousand objects", "{\"a\":".repeat(100_000).into(), &[400, 422]),
            ("depth in a field", deep.into(), &[400, 422]),
            ("a text", b"\"text\"".into(), &[422]),
            ("null", b"null".into(), &[422]),
            ("numbers", b"[1, 2, 3, 4, 5, 6, 7]".into(), &[400, 422]),
            ("a field that isn't known", unknown.into(), &[422]),
            ("a field twice", twice.into(), &[422]),
        ];
        for (what, body, expected) in bodies {
            let answer = send(&api, method, uri, Some("application/json"), body).await;
            assert!(expected.contains(&answer.problem().0), "{what} at {uri}: {:?}", answer.body);
        }
        for media_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("nonsense"), Some("")] {
            let answer = send(&api, method, uri, media_type, good.into()).await;
            assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()), "{media_type:?} at {uri}");
        }
    }
}

#[tokio::test]
async fn fields_of_the_wrong_type_or_size_are_refused() {
    let api = Api::published().await;
    let recipe = |recipe: &str| format!("{{\"dataset\": \"d\", \"model\": \"m\", \"recipe\": {recipe}}}");
    let cases = [
        ("/v1/jobs", recipe("7")),
        ("/v1/jobs", recipe("{\"seed\": 1e999}")),
        ("/v1/jobs", recipe("{\"seed\": -1}")),
        ("/v1/jobs", recipe("{\"seed\": 18446744073709551616}")),
        ("/v1/jobs", recipe("{\"seed\": 1.5}")),
        ("/v1/jobs", recipe("{\"batch_size\": 4294967296}")),
        ("/v1/jobs", recipe("{\"preset\": [\"classic\"]}")),
        ("/v1/jobs", recipe("{\"warm_up\": {\"epochs\": \"1\"}}")),
        ("/v1/jobs", recipe("{\"warm_up\": {\"optimizer\": {\"kind\": \"sgd\", \"learning_rate\": 1e308}}}")),
        ("/v1/jobs", recipe("{\"warm_up\": {\"optimizer\": {\"kind\": {}}}}")),
        ("/v1/jobs", "{\"dataset\": 1, \"model\": \"m\"}".to_owned()),
        ("/v1/jobs", "{\"dataset\": \"d\", \"model\": \"\\u0000\"}".to_owned()),
        ("/v1/jobs", "{\"dataset\": \"\\u0000\", \"model\": \"m\"}".to_owned()),
        ("/v1/jobs", format!("{{\"dataset\": \"{}\", \"model\": \"m\"}}", "d".repeat(500_000))),
        ("/v1/sweeps", "{\"dataset\": \"d\", \"model\": \"m\", \"vary\": []}".to_owned()),
        ("/v1/sweeps", "{\"dataset\": \"d\", \"model\": \"m\", \"vary\": {\"head.units\": 1}}".to_owned()),
        ("/v1/sweeps", "{\"dataset\": \"d\", \"model\": \"m\", \"vary\": {\"a\": [1], \"a\": [2]}}".to_owned()),
        ("/v1/sweeps", "{\"dataset\": \"d\", \"model\": \"m\", \"recipes\": [], \"concurrency\": 1e30}".to_owned()),
        ("/v1/models/flowers/predict", "{\"images\": \"aGVsbG8=\"}".to_owned()),
        ("/v1/models/flowers/predict", "{\"images\": [1]}".to_owned()),
        ("/v1/models/flowers/predict", "{\"image\": \"%%%\"}".to_owned()),
        ("/v1/models/flowers/predict", "{\"images\": []}".to_owned()),
    ];
    for (uri, body) in cases {
        let status = api.post(uri, "application/json", body.clone()).await.problem().0;
        assert!((400..500).contains(&status), "{status} for {} at {uri}", &body[..body.len().min(200)]);
    }
    for version in ["1e30", "-1", "0", "\"1\"", "9223372036854775808", "1.0", "[1]", "null", "99"] {
        let put = send(&api, "PUT", "/v1/models/flowers/aliases/live", Some("application/json"), {
            format!("{{\"version\": {version}}}").into()
        });
        let status = put.await.problem().0;
        assert!((400..500).contains(&status), "{status} for version {version}");
    }
    // The same at the protocol's address, whose errors look otherwise.
    for body in
        ["", "[", "{}", "{\"inputs\": 1}", "{\"inputs\": [{\"name\": \"pixels\", \"datatype\": \"FP32\", \"shape\": [1e999]}]}"]
    {
        let answer = api.post("/v2/models/flowers/infer", "application/json", body).await;
        assert!(answer.status.is_client_error() || answer.status == 503, "{body}: {} {:?}", answer.status, answer.body);
    }
}

#[tokio::test]
async fn addresses_and_queries_that_make_no_sense_are_refused() {
    let api = Api::published().await;
    let id = "018f0000-0000-7000-8000-000000000000";
    for uri in [
        "/v1/datasets/%ff%fe".to_owned(),
        "/v1/datasets/%00".to_owned(),
        "/v1/datasets/%zz".to_owned(),
        "/v1/datasets/..%2f..%2fetc%2fpasswd".to_owned(),
        "/v1/datasets/d/images/99999999999999999999".to_owned(),
        "/v1/datasets/d/images/4294967296".to_owned(),
        "/v1/datasets/d/images?label=%00".to_owned(),
        "/v1/datasets/d/images?limit=1&limit=2".to_owned(),
        "/v1/models/%2e%2e".to_owned(),
        "/v1/models/flowers/versions/9223372036854775808".to_owned(),
        "/v1/models/flowers/versions/-9223372036854775808".to_owned(),
        "/v1/models/flowers/versions/1/download?format=%00".to_owned(),
        "/v1/jobs/not-an-id".to_owned(),
        "/v1/jobs?state=sleeping".to_owned(),
        "/v1/jobs?model=%00".to_owned(),
        "/v1/jobs?cursor=%00".to_owned(),
        format!("/v1/jobs?cursor={}", "a".repeat(10_000)),
        format!("/v1/jobs/{id}/events?after=18446744073709551616"),
        format!("/v1/jobs/{id}/events?after=-1"),
        format!("/v1/jobs/{id}/epochs?format=xml"),
        "/v1/jobs?limit=0".to_owned(),
        "/v1/jobs?limit=501".to_owned(),
        "/v1/jobs?limit=-1".to_owned(),
        "/v1/jobs?limit=1e3".to_owned(),
        "/v1/jobs?limit=99999999999999999999".to_owned(),
        "/v1/jobs?limit=%ff".to_owned(),
    ] {
        let status = api.get(&uri).await.problem().0;
        assert!([404, 422].contains(&status), "{status} for {uri}");
    }
    // Beyond any number that there is, but a number: nothing lies behind it.
    for cursor in ["0", "18446744073709551615"] {
        assert_eq!(api.get(&format!("/v1/datasets/d/rejected?cursor={cursor}")).await.status, 200, "{cursor}");
    }
    for query in ["top_k=-1", "top_k=1e9", "threshold=NaN", "threshold=1e39", "threshold=-1", "calibrated=maybe", "explain=%00"]
    {
        let answer = api.post(&format!("/v1/models/flowers/predict?{query}"), "image/png", "x").await;
        assert_eq!(answer.problem().0, 422, "{query}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_out() {
    let api = Api::new().await;
    api.dataset("d").await;
    for uri in ["/healthz", "/readyz", "/nowhere", "/v1/jobs", "/v1/datasets/d/images/0", "/openapi.json", "/docs/", "/"] {
        let request = Request::get(uri).header(header::ORIGIN, "http://elsewhere.example").body(Body::empty()).unwrap();
        let headers = api.send(request).await.headers;
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{uri}");
        assert_eq!(headers.get_all(header::X_CONTENT_TYPE_OPTIONS).iter().count(), 1, "{uri}");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY", "{uri}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{uri}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{uri}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{uri}: {policy}");
        assert_eq!(policy.contains("script-src 'self'"), ["/docs/", "/"].contains(&uri), "{uri}");
        assert_eq!(policy.contains("sandbox"), uri.contains("/images/"), "{uri}");
        let keeps = match uri {
            "/docs/" => "no-cache",
            "/v1/datasets/d/images/0" => headers[header::CACHE_CONTROL].to_str().unwrap(),
            _ => "no-store",
        };
        assert_eq!(headers[header::CACHE_CONTROL], keeps, "{uri}");
        let open = |name: &HeaderName| name.as_str().starts_with("access-control");
        assert!(!headers.keys().any(open), "{uri}: {headers:?}");
    }
    let preflight = Request::options("/v1/jobs")
        .header(header::ORIGIN, "http://elsewhere.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let answer = api.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
    assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn web_pages_of_other_origins_change_nothing() {
    let api = Api::published().await;
    let body = json!({"dataset": "d", "model": "m"}).to_string();
    for (name, value) in [("origin", "http://elsewhere.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        for (method, uri) in [("POST", "/v1/jobs"), ("DELETE", "/v1/datasets/d"), ("POST", "/predict"), ("PUT", "/nowhere")] {
            let request = Request::builder().method(method).uri(uri).header(name, value);
            let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.clone())).unwrap();
            assert_eq!(api.send(request).await.problem(), (403, "foreign_origin".to_owned()), "{name}: {value}, {uri}");
        }
    }
    let own =
        Request::post("/v1/jobs").header(header::ORIGIN, "http://localhost").header(header::CONTENT_TYPE, "application/json");
    assert_eq!(api.send(own.body(Body::from(body)).unwrap()).await.status, 202);
    let rebound = Request::get("/v1/jobs").header(header::HOST, "elsewhere.example").body(Body::empty()).unwrap();
    assert_eq!(api.send(rebound).await.problem(), (403, "unknown_host".to_owned()));
}
