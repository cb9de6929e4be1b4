//! Slices of a report.

use serde_json::{Value, json};

use super::Api;
use crate::report::{Calibration, PhaseName, PhaseReport, Prediction, Report};

const VERSION: &str = "/v1/models/flowers/versions/1";

/// Two daisies and three tulips, one of each taken for the other. The order is nobody's.
fn report() -> Report {
    let prediction = |image, label: &str, predicted: &str, probability: f32| Prediction {
        image,
        path: format!("{label}/{image}.png"),
        label: label.to_owned(),
        predicted: predicted.to_owned(),
        probability,
        probabilities: vec![probability, 1.0 - probability],
    };
    let predictions = vec![
        prediction(5, "tulip", "tulip", 0.8),
        prediction(0, "daisy", "daisy", 0.9),
        prediction(1, "daisy", "tulip", 0.6),
        prediction(2, "tulip", "tulip", 0.8),
        prediction(3, "tulip", "daisy", 0.95),
    ];
    let classes = ["daisy".to_owned(), "tulip".to_owned()];
    let phase = PhaseReport::new(PhaseName::FineTune, 1, &classes, [(0, 0), (0, 1), (1, 1), (1, 1), (1, 0)]);
    let calibration = Calibration::fit(&[vec![0.9, 0.1], vec![0.8, 0.2]], &[0, 1]);
    let phases = vec![phase.clone()];
    Report { phases, test: Some(phase), calibration, predictions, ..super::models::report(&classes) }
}

async fn api() -> Api {
    let api = Api::new().await;
    api.dataset("d").await;
    api.publish_with(&report()).await;
    api
}

/// The numbers of the pictures that a list has.
fn images(list: &Value) -> Vec<u64> {
    list["items"].as_array().unwrap().iter().map(|item| item["image"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn predictions_are_listed_in_the_order_and_of_the_kind_asked_for() {
    let api = api().await;
    for (query, expected) in [
        ("", vec![0, 1, 2, 3, 5]),
        ("?order=image", vec![0, 1, 2, 3, 5]),
        ("?order=probability", vec![3, 0, 2, 5, 1]),
        ("?wrong=true", vec![1, 3]),
        ("?wrong=true&order=probability", vec![3, 1]),
        ("?wrong=false", vec![0, 2, 5]),
        ("?label=tulip", vec![2, 3, 5]),
        ("?predicted=tulip&order=probability", vec![2, 5, 1]),
        ("?label=tulip&predicted=daisy", vec![3]),
        ("?label=tulip&predicted=daisy&wrong=false", vec![]),
    ] {
        let list = api.get(&format!("{VERSION}/predictions{query}")).await.json();
        assert_eq!(images(&list), expected, "{query}");
        assert!(list.get("next_cursor").is_none(), "{query}");
    }
    let wrong = api.get(&format!("{VERSION}/predictions?wrong=true&order=probability&limit=1")).await.json();
    let surest = json!({"image": 3, "path": "tulip/3.png", "label": "tulip", "predicted": "daisy", "probability": 0.95});
    assert_eq!(wrong["items"], json!([surest]));
}

#[tokio::test]
async fn pages_of_predictions_come_to_the_whole() {
    let api = api().await;
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{VERSION}/predictions?order=probability&limit=2{cursor}")).await.json();
        pages.push(images(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [vec![3, 0], vec![2, 5], vec![1]]);
    for beyond in ["4", "18446744073709551615"] {
        let page = api.get(&format!("{VERSION}/predictions?cursor={beyond}")).await.json();
        assert_eq!(page, json!({"items": []}));
    }
}

#[tokio::test]
async fn thresholds_say_what_is_answered_and_what_of_it_is_right() {
    let api = api().await;
    let points = async |query: &str| {
        let answer = api.get(&format!("{VERSION}/thresholds{query}")).await.json();
        let points = answer["points"].as_array().unwrap().clone();
        assert_eq!(points.len(), 101);
        points
    };
    let point = |threshold: f64, answered: f64, precision: Option<f64>, recall: f64| json!({"threshold": threshold, "answered": answered, "precision": precision, "recall": recall});
    let all = points("").await;
    for expected in [
        (0, point(0.0, 1.0, Some(0.6), 0.6)),
        (7, point(0.07, 1.0, Some(0.6), 0.6)),
        (80, point(0.8, 0.8, Some(0.75), 0.6)),
        (81, point(0.81, 0.4, Some(0.5), 0.2)),
        (95, point(0.95, 0.2, Some(0.0), 0.0)),
        (96, point(0.96, 0.0, None, 0.0)),
        (100, point(1.0, 0.0, None, 0.0)),
    ] {
        assert_eq!(all[expected.0], expected.1);
    }
    let accuracy = &api.get(&format!("{VERSION}/report")).await.json()["phases"][0]["accuracy"];
    assert_eq!(&all[0]["precision"], accuracy);

    let tulips = points("?label=tulip").await;
    assert_eq!(tulips[0], point(0.0, 0.6, Some(2.0 / 3.0), 2.0 / 3.0));
    assert_eq!(tulips[61], point(0.61, 0.4, Some(1.0), 2.0 / 3.0));
    assert_eq!(tulips[81], point(0.81, 0.0, None, 0.0));
}

#[tokio::test]
async fn a_report_without_predictions_is_the_report_but_for_these() {
    let api = Api::new().await;
    api.dataset("d").await;
    let job = api.publish_with(&report()).await;
    for uri in [format!("{VERSION}/report"), "/v1/models/flowers/report".to_owned(), format!("/v1/jobs/{job}/report")] {
        let mut whole = api.get(&uri).await.json();
        assert_eq!(api.get(&format!("{uri}?predictions=true")).await.json(), whole);
        let predictions = whole.as_object_mut().unwrap().remove("predictions").unwrap();
        assert_eq!(predictions.as_array().unwrap().len(), 5);
        assert!(whole["test"].is_object() && whole["calibration"].is_object());
        assert_eq!(api.get(&format!("{uri}?predictions=false")).await.json(), whole, "{uri}");
        let text = api.get(&format!("{uri}?format=text")).await;
        assert_eq!(api.get(&format!("{uri}?format=text&predictions=false")).await.body, text.body);
    }
}

#[tokio::test]
async fn what_can_not_be_listed_is_named() {
    let api = api().await;
    for (slice, field) in [
        ("predictions?label=rose", "label"),
        ("predictions?predicted=Tulip", "predicted"),
        ("predictions?label=tulip&predicted=", "predicted"),
        ("predictions?limit=0", "limit"),
        ("predictions?limit=501", "limit"),
        ("predictions?cursor=x", "cursor"),
        ("thresholds?label=rose", "label"),
    ] {
        let answer = api.get(&format!("{VERSION}/{slice}")).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{slice}");
        let error = &answer.json()["errors"][0];
        assert_eq!(error["field"], field, "{slice}");
        let is_class = ["label", "predicted"].contains(&field);
        assert_eq!(error["message"].as_str().unwrap().starts_with("must be one of the model's classes"), is_class, "{error}");
    }
    for slice in ["predictions?wrong=perhaps", "predictions?order=size", "report?predictions=some"] {
        let answer = api.get(&format!("{VERSION}/{slice}")).await;
        assert_eq!(answer.problem(), (422, "invalid_query".to_owned()), "{slice}");
    }
    for slice in ["predictions", "thresholds"] {
        for (version, code) in [
            ("/v1/models/flowers/versions/2", "version_not_found"),
            ("/v1/models/trees/versions/1", "model_not_found"),
            ("/v1/models/flowers/versions/x", "not_found"),
        ] {
            assert_eq!(api.get(&format!("{version}/{slice}")).await.problem(), (404, code.to_owned()), "{version}/{slice}");
        }
        let file = api.state.settings.model_dir(&"flowers".parse().unwrap(), 1).join("report.json");
        let good = std::fs::read(&file).unwrap();
        std::fs::write(&file, [good.as_slice(), b" "].concat()).unwrap();
        let answer = api.get(&format!("{VERSION}/{slice}")).await;
        assert_eq!(answer.problem(), (503, "files_damaged".to_owned()), "{slice}");
        std::fs::write(&file, good).unwrap();
        assert_eq!(api.get(&format!("{VERSION}/{slice}")).await.status, 200);
    }
}
