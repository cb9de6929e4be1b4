use axum::body::Body;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;

use super::answer::{PicturePrediction, all_or_errors};
use super::*;
use crate::config::Settings;
use crate::inference::{Classified, PredictError};
use crate::vision::picture::PictureError;

fn classified() -> Classified {
    let classes = ["ant", "bee", "cat"].map(str::to_owned);
    Classified { classes: classes.to_vec().into(), probabilities: vec![0.25, 0.5, 0.25] }
}

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
    let all = PicturePrediction::of(&classified(), usize::MAX).unwrap();
    assert_eq!(
        serde_json::to_string(&all).unwrap(),
        r#"{"label":"bee","probability":0.5,"probabilities":{"bee":0.5,"ant":0.25,"cat":0.25}}"#
    );
    let one = PicturePrediction::of(&classified(), 1).unwrap();
    assert_eq!(serde_json::to_value(&one).unwrap()["probabilities"], serde_json::json!({"bee": 0.5}));
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
