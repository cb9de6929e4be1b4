use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::{Answer, Api, pictures};
use crate::dataset::testing::{picture, tar};

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(
        (answer.status.as_u16(), &answer.headers[header::CONTENT_TYPE]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The engine is gone here: every picture has a line that says so, and the answer its end.
#[tokio::test]
async fn a_pictures_trouble_is_a_line_and_nothing_is_left_on_disk() {
    let api = Api::published().await;
    let answer = api.post("/predict", "application/zip", pictures()).await;
    let all = lines(&answer);
    let paths: Vec<_> = all.iter().filter_map(|line| line["path"].as_str()).collect();
    let folder = "flowers/daisy/1.png flowers/daisy/2.png flowers/tulip/3.png flowers/tulip/4.png flowers/tulip/notes.txt";
    assert_eq!(paths, folder.split(' ').collect::<Vec<_>>());
    assert_eq!(all[0]["error"]["code"], "engine_unavailable", "{}", all[0]);
    let model = json!({"name": "flowers", "version": 1});
    assert_eq!(all[5], json!({"done": true, "pictures": 5, "failed": 5, "model": model}));
    assert_eq!((all.len(), api.uploads().is_empty()), (6, true));
}

#[tokio::test]
async fn a_form_is_answered_by_lines_only_if_asked() {
    let api = Api::published().await;
    let form = "--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\nabc\r\n--x--\r\n";
    let request = |accept: &str| {
        let request =
            Request::post("/v1/models/flowers/predict").header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        request.header(header::ACCEPT, accept).body(Body::from(form)).unwrap()
    };
    assert_eq!(lines(&api.send(request("application/x-ndjson")).await)[0]["path"], "a.jpg");
    assert_eq!(api.send(request("application/json")).await.headers[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn an_archive_that_breaks_off_says_so_in_its_last_line() {
    let api = Api::published().await;
    let mut archive = tar(&[("1.png", picture(1)), ("2.png", picture(2))]);
    // Within the second entry's content: the first header, which is all that is looked at before, is whole.
    archive.truncate(3 * 512 + 10);
    let answer = api.post("/v1/models/flowers/versions/1/predict", "application/x-tar", archive).await;
    let last = lines(&answer).pop().unwrap();
    assert_eq!((&last["done"], &last["error"]["code"]), (&false.into(), &"broken_archive".into()), "{last}");
    assert!(api.uploads().is_empty());
}

#[tokio::test]
async fn what_shows_before_the_first_picture_is_a_problem() {
    let api = Api::published().await;
    let post = async |uri: &str, body: Vec<u8>| api.post(uri, "application/zip", body).await.problem();
    assert_eq!(post("/predict", b"no archive".to_vec()).await, (422, "unknown_archive".to_owned()));
    assert_eq!(post("/v1/models/nobody/predict", pictures()).await, (404, "model_not_found".to_owned()));
    assert_eq!(post("/predict?top_k=0", pictures()).await, (422, "invalid_field".to_owned()));
    let late = Request::post("/predict").header(header::CONTENT_TYPE, "application/zip").header("x-deadline-ms", "0");
    assert_eq!(api.send(late.body(Body::from(pictures())).unwrap()).await.problem(), (422, "invalid_field".to_owned()));
    assert!(api.uploads().is_empty());
}
