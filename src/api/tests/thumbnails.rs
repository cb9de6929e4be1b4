//! Thumbnails of a data set's pictures.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use image::{ImageFormat, Rgba, RgbaImage};

use super::{Answer, Api};
use crate::api::AppState;
use crate::config::Settings;
use crate::dataset::testing::zip;
use crate::vision::picture::fixtures::{BLUE, GREEN, PNG, RED, WHITE, assert_near, corners, encoded, quarters, with_exif};
use crate::vision::picture::{Picture, PictureFormat, PictureLimits, decode};

/// A JPEG that lies on its side, a TIFF, a BMP, and a PNG through which one sees; each 640 pixels wide.
async fn api() -> (Api, String) {
    let api = Api::new().await;
    let large = corners().resize_exact(640, 320, image::imageops::FilterType::Nearest);
    let clear = RgbaImage::from_pixel(640, 480, Rgba([0, 0, 255, 0]));
    let archive = zip(&[
        ("daisy/0.jpg", with_exif(&encoded(&large, ImageFormat::Jpeg), 6)),
        ("daisy/1.tif", encoded(&large, ImageFormat::Tiff)),
        ("tulip/2.bmp", encoded(&large, ImageFormat::Bmp)),
        ("tulip/3.png", encoded(&clear.into(), PNG)),
    ]);
    let uploaded = api.post("/v1/datasets?name=d", "application/zip", archive).await.json();
    let id = uploaded["id"].as_str().unwrap().to_owned();
    let dataset = api.settled(&id).await;
    assert_eq!((&dataset["state"], &dataset["images"]), (&"ready".into(), &4.into()), "{dataset}");
    (api, format!("/v1/datasets/{id}/images"))
}

fn picture(answer: &Answer) -> Picture {
    decode(&answer.body, &PictureLimits::default()).unwrap()
}

#[tokio::test]
async fn every_picture_comes_small_upright_and_as_a_jpeg() {
    let (api, images) = api().await;
    let upright = [RED, GREEN, BLUE, WHITE];
    for (number, size, colours) in
        [(0, (40, 80), [BLUE, RED, WHITE, GREEN]), (1, (80, 40), upright), (2, (80, 40), upright), (3, (80, 60), [WHITE; 4])]
    {
        let answer = api.get(&format!("{images}/{number}?side=80")).await;
        assert_eq!((answer.status, &answer.headers[header::CONTENT_TYPE]), (StatusCode::OK, &"image/jpeg".parse().unwrap()));
        let small = picture(&answer);
        assert_eq!((small.format(), small.width(), small.height()), (PictureFormat::Jpeg, size.0, size.1), "{number}");
        assert_near(quarters(&small), colours);
        // A page of hundreds is a megabyte or two.
        assert!(answer.body.len() < 8_000, "{} bytes", answer.body.len());
    }
    let dataset = api.dataset("tiny").await;
    let tiny = picture(&api.get(&format!("/v1/datasets/{}/images/0?side=512", dataset["id"].as_str().unwrap())).await);
    assert_eq!((tiny.width(), tiny.height()), (9, 7), "nothing is enlarged");
}

#[tokio::test]
async fn browsers_keep_each_size_for_itself() {
    let (api, images) = api().await;
    let get = async |query: &str, known: Option<&str>| {
        let request = Request::get(format!("{images}/1{query}"));
        let request = known.into_iter().fold(request, |request, known| request.header(header::IF_NONE_MATCH, known));
        api.send(request.body(Body::empty()).unwrap()).await
    };
    let etag = |headers: &HeaderMap| headers[header::ETAG].to_str().unwrap().to_owned();
    let (whole, large, small) = (get("", None).await, get("?side=100", None).await, get("?side=99", None).await);
    assert_eq!(whole.headers[header::CONTENT_TYPE], "image/tiff");
    let tags = [&whole, &large, &small].map(|answer| etag(&answer.headers));
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    for name in [header::CACHE_CONTROL, header::CONTENT_SECURITY_POLICY, header::X_CONTENT_TYPE_OPTIONS] {
        assert_eq!(small.headers[&name], whole.headers[&name], "{name}");
    }
    assert_eq!(small.headers[header::CACHE_CONTROL], "private, max-age=31536000, immutable");
    for (place, query) in ["", "?side=100", "?side=99"].into_iter().enumerate() {
        for (known, tag) in tags.iter().enumerate() {
            let answer = get(query, Some(tag)).await;
            assert_eq!(answer.status.as_u16(), if known == place { 304 } else { 200 }, "{query} with {tag}");
            assert_eq!(etag(&answer.headers), tags[place]);
        }
    }
    let by_name = api.get("/v1/datasets/d/images/1?side=99").await;
    assert_eq!((by_name.headers[header::CACHE_CONTROL].as_bytes(), by_name.body), (&b"no-cache"[..], small.body));
}

#[tokio::test]
async fn what_has_no_thumbnail_says_why() {
    let (api, images) = api().await;
    for side in [0, 31, 513, u32::MAX] {
        let answer = api.get(&format!("{images}/1?side={side}")).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{side}");
        assert_eq!(answer.json()["errors"][0]["field"], "side");
    }
    for side in ["", "x", "-1", "64.0"] {
        let answer = api.get(&format!("{images}/1?side={side}")).await;
        assert_eq!(answer.problem(), (422, "invalid_query".to_owned()), "{side}");
    }
    assert_eq!(api.get(&format!("{images}/4?side=64")).await.problem(), (404, "image_not_found".to_owned()));

    // A server that takes smaller pictures by now.
    let settings = Settings { max_picture_pixels: 640 * 320, ..api.state.settings.as_ref().clone() };
    let AppState { store, storage, predictor, workers, .. } = api.state.clone();
    let state = AppState::new(Arc::new(settings), store, storage, predictor, workers);
    let smaller = Api { state, dir: tempfile::tempdir().unwrap() };
    assert_eq!(smaller.get(&format!("{images}/1?side=64")).await.status, 200);
    assert_eq!(smaller.get(&format!("{images}/3?side=64")).await.problem(), (422, "unusable_picture".to_owned()));

    let id = images.split('/').nth(3).unwrap().parse().unwrap();
    let pack = api.state.settings.pack(id);
    let good = std::fs::read(&pack).unwrap();
    for damaged in [vec![0; good.len()], good[..100].to_vec()] {
        std::fs::write(&pack, damaged).unwrap();
        let answer = api.get(&format!("{images}/1?side=64")).await;
        assert_eq!(answer.problem(), (503, "files_damaged".to_owned()));
    }
    std::fs::remove_file(&pack).unwrap();
    assert_eq!(api.get(&format!("{images}/1?side=64")).await.problem(), (503, "files_damaged".to_owned()));
}
