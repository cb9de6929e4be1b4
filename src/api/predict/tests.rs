use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use tokio::time::Instant;

use super::answer::{AnswerForm, Explain, PicturePrediction, all_or_errors};
use super::form::DEADLINE;
use super::*;
use crate::config::Settings;
use crate::inference::{Classified, PredictError};
use crate::vision::grad_cam::HeatMap;
use crate::vision::neighbours::Neighbour;
use crate::vision::picture::PictureError;

fn classified() -> Classified {
    let classes = ["ant", "bee", "cat"].map(str::to_owned);
    Classified {
        classes: classes.to_vec().into(),
        probabilities: vec![0.25, 0.5, 0.25],
        raw: vec![0.125, 0.75, 0.125],
        outlier_score: None,
        neighbours: None,
        heat_map: None,
    }
}

const EVERYTHING: AnswerForm = AnswerForm { top_k: usize::MAX, threshold: 0.0, calibrated: true, explain: None, neighbours: 0 };

async fn read(content_type: &str, body: impl Into<Body>) -> Result<Pictures, ApiError> {
    let settings = Settings { max_predict_bytes: 1000, max_predict_pictures: 2, ..Settings::default() };
    let request = Request::builder().header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap();
    Pictures::read(request, &settings).await
}

async fn problem(error: ApiError) -> (u16, serde_json::Value) {
    let response = error.into_response();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn probabilities_descend_and_ties_keep_the_models_order() {
    let all = PicturePrediction::of(&classified(), &EVERYTHING).unwrap();
    assert_eq!(
        serde_json::to_string(&all).unwrap(),
        r#"{"label":"bee","probability":0.5,"probabilities":{"bee":0.5,"ant":0.25,"cat":0.25}}"#
    );
    let one = PicturePrediction::of(&classified(), &AnswerForm { top_k: 1, ..EVERYTHING }).unwrap();
    assert_eq!(serde_json::to_value(&one).unwrap()["probabilities"], serde_json::json!({"bee": 0.5}));
}

#[test]
fn a_label_below_the_threshold_is_null_and_raw_probabilities_stay_available() {
    let json = |form: &AnswerForm| serde_json::to_value(PicturePrediction::of(&classified(), form).unwrap()).unwrap();
    let unsure = json(&AnswerForm { threshold: 0.51, ..EVERYTHING });
    assert_eq!((&unsure["label"], &unsure["probability"]), (&serde_json::Value::Null, &serde_json::json!(0.5)));
    assert_eq!(json(&AnswerForm { threshold: 0.5, ..EVERYTHING })["label"], "bee");
    assert_eq!(json(&AnswerForm { calibrated: false, threshold: 0.75, ..EVERYTHING })["probabilities"]["bee"], 0.75);
}

#[test]
fn a_heat_map_comes_as_rows_or_as_a_picture() {
    let map = HeatMap { side: 2, values: vec![0.0, 1.0, 0.5, 0.0] };
    let seen = Classified { heat_map: Some(map), outlier_score: Some(0.5), ..classified() };
    let json = |explain| {
        let form = AnswerForm { explain: Some(explain), ..EVERYTHING };
        serde_json::to_value(PicturePrediction::of(&seen, &form).unwrap()).unwrap()
    };
    assert_eq!(json(Explain::True)["heat_map"], serde_json::json!([[0.0, 1.0], [0.5, 0.0]]));
    assert_eq!(json(Explain::True)["outlier_score"], 0.5);
    let png = json(Explain::Png);
    assert!(png["heat_map_png"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert!(png.get("heat_map").is_none());
}

#[test]
fn neighbours_come_with_their_classes_names() {
    let near = Neighbour { image: 7, class: 2, similarity: 0.75 };
    let neighbours = |seen| serde_json::to_value(PicturePrediction::of(&seen, &EVERYTHING).unwrap()).unwrap();
    let some =
        neighbours(Classified { neighbours: Some(vec![near, Neighbour { image: 3, class: 0, ..near }]), ..classified() });
    let expected =
        [("cat", 7), ("ant", 3)].map(|(label, image)| serde_json::json!({"image": image, "label": label, "similarity": 0.75}));
    assert_eq!(some["neighbours"], serde_json::json!(expected));
    // Of a picture that the hidden layer makes nothing of.
    let none = neighbours(Classified { neighbours: Some(Vec::new()), ..classified() });
    assert_eq!(none["neighbours"], serde_json::json!([]));
    assert!(neighbours(classified()).get("neighbours").is_none());
}

#[tokio::test]
async fn what_an_answer_is_to_be_is_checked() {
    let query = |text: &str| query_of(text).form();
    assert_eq!(problem(query("top_k=0").unwrap_err()).await.0, 422);
    assert_eq!(problem(query("threshold=1.5").unwrap_err()).await.0, 422);
    assert_eq!(query("explain=false").unwrap().explain, None);
    assert_eq!(query("explain=png").unwrap().explain, Some(Explain::Png));
    assert!(query("").unwrap().calibrated);
    let asked = |text: &str| {
        let call = query(text).unwrap().call(&HeaderMap::new(), &Settings::default()).unwrap();
        (call.explain, call.neighbours)
    };
    assert_eq!([asked(""), asked("neighbours=0&explain=png"), asked("neighbours=20")], [(false, 0), (true, 0), (false, 20)]);
    let (status, body) = problem(query("neighbours=21").unwrap_err()).await;
    assert_eq!((status, &body["errors"][0]["field"]), (422, &serde_json::json!("neighbours")));
    let deadline = |value: &'static str| {
        let headers = HeaderMap::from_iter([(header::HeaderName::from_static(DEADLINE), value.parse().unwrap())]);
        call(&headers, &Settings::default())
    };
    assert!(deadline("250").unwrap().deadline <= Instant::now() + Duration::from_millis(250));
    for wrong in ["0", "-1", "soon", "600001"] {
        assert_eq!(problem(deadline(wrong).unwrap_err()).await.0, 422);
    }
}

/// The query of an address.
fn query_of(text: &str) -> AnswerQuery {
    let uri: axum::http::Uri = format!("/predict?{text}").parse().unwrap();
    axum::extract::Query::try_from_uri(&uri).unwrap().0
}

#[tokio::test]
async fn pictures_come_in_three_ways() {
    let body = read("image/jpeg", "abc").await.unwrap();
    assert_eq!((body.bytes, body.fields), (vec![Bytes::from("abc")], vec!["image".to_owned()]));

    let json = read("application/json; charset=utf-8", r#"{"images": ["YWJj", "data:image/png;base64,YWI="]}"#).await.unwrap();
    assert_eq!(json.bytes, [Bytes::from("abc"), Bytes::from("ab")]);
    assert_eq!(json.fields, ["images[0]", "images[1]"]);
    assert_eq!(read("application/json", r#"{"image": "YWJj"}"#).await.unwrap().fields, ["image"]);

    let form = "--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\nabc\r\n--x--\r\n";
    let form = read("multipart/form-data; boundary=x", form).await.unwrap();
    assert_eq!((form.bytes, form.fields), (vec![Bytes::from("abc")], vec!["images[0] (a.jpg)".to_owned()]));
}

#[tokio::test]
async fn what_is_not_taken_is_told_why() {
    let cases = [
        ("text/plain", "x".to_owned(), 415, "unsupported_media_type"),
        ("image/png", String::new(), 422, "no_picture"),
        ("application/json", "{}".to_owned(), 422, "no_picture"),
        ("application/json", "{".to_owned(), 400, "invalid_json"),
        ("application/json", r#"{"pictures": []}"#.to_owned(), 422, "invalid_body"),
        ("application/json", r#"{"images": ["YWJj", "!"]}"#.to_owned(), 422, "invalid_field"),
        ("application/json", r#"{"images": ["", "", ""]}"#.to_owned(), 422, "invalid_field"),
        ("image/png", "x".repeat(1001), 413, "too_large"),
        ("multipart/form-data", "x".to_owned(), 400, "invalid_multipart"),
    ];
    for (content_type, body, status, code) in cases {
        let error = read(content_type, body.clone()).await.err().unwrap();
        let (found, problem) = problem(error).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{content_type} {body}");
    }
}

#[tokio::test]
async fn a_bad_picture_is_named_and_a_busy_engine_comes_first() {
    let fields = ["images[0]".to_owned(), "images[1] (b.jpg)".to_owned()];
    let bad = || Err(PredictError::Picture(PictureError::Empty));
    let (status, body) = problem(all_or_errors(vec![Ok(classified()), bad()], &fields).unwrap_err()).await;
    assert_eq!((status, &body["errors"][0]["field"]), (422, &serde_json::json!("images[1] (b.jpg)")));
    let (status, _) = problem(all_or_errors(vec![bad(), Err(PredictError::Busy)], &fields).unwrap_err()).await;
    assert_eq!(status, 429);
}
