//! Uploading data sets.

use std::io::Write;

use image::ImageFormat;
use serde_json::json;

use crate::pictures::{encoded, entries, scene, tar, written, zip};
use crate::server::Server;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_archive_kind_comes_to_the_same_data_set() {
    let server = Server::start();
    let entries = entries(3, 4);
    let archives = [
        ("zip", zip(&entries)),
        ("tar", tar(&entries)),
        ("tar-gz", gzip(&tar(&entries))),
        ("tar-zst", zstd::encode_all(tar(&entries).as_slice(), 1).unwrap()),
    ];
    let mut contents = Vec::new();
    for (name, archive) in &archives {
        let accepted = server.post(&format!("/v1/datasets?name={name}"), "application/octet-stream", archive);
        let id = accepted.expect(202)["id"].as_str().unwrap().to_owned();
        assert_eq!(accepted.location.as_deref(), Some(format!("/v1/datasets/{id}").as_str()));
        let dataset = server.settled_dataset(name);
        assert_eq!(dataset["state"], "ready", "{dataset}");
        assert_eq!(dataset["images"], 12);
        assert_eq!(dataset["classes"][0], serde_json::json!({"name": "blue", "images": 4}));
        assert_eq!(dataset["rejected"], serde_json::json!([]));
        contents.push(dataset["content_sha256"].clone());
    }
    assert!(contents.windows(2).all(|pair| pair[0] == pair[1]), "{contents:?}");

    let parts = server.post_files("/v1/datasets?name=form", &[("toys.zip", &archives[0].1)]);
    parts.expect(202);
    assert_eq!(server.settled_dataset("form")["content_sha256"], contents[0]);
    assert_eq!(server.get("/v1/datasets").expect(200)["items"].as_array().unwrap().len(), 5);
}

#[test]
fn formats_are_read_junk_is_skipped_and_rejections_are_listed() {
    let server = Server::start();
    let mut entries = entries(2, 2);
    let formats = [
        ("a.jpg", ImageFormat::Jpeg),
        ("b.webp", ImageFormat::WebP),
        ("c.gif", ImageFormat::Gif),
        ("d.bmp", ImageFormat::Bmp),
        ("e.tif", ImageFormat::Tiff),
    ];
    for (n, (name, format)) in formats.into_iter().enumerate() {
        entries.push((format!("toys/red/{name}"), encoded(0, 10 + n, format)));
    }
    entries.push(("__MACOSX/toys/red/._00.png".to_owned(), b"junk".to_vec()));
    entries.push(("toys/red/.DS_Store".to_owned(), b"junk".to_vec()));
    entries.push(("toys/red/notes.jpg".to_owned(), b"these are notes, not a picture".to_vec()));
    entries.push(("../../escape/x.png".to_owned(), encoded(0, 50, ImageFormat::Png)));
    let dataset = server.dataset("mixed", &zip(&entries));
    assert_eq!((&dataset["state"], dataset["images"].as_u64()), (&"ready".into(), Some(9)), "{dataset}");
    let rejected = dataset["rejected"].as_array().unwrap();
    let paths: Vec<_> = rejected.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert!(paths.contains(&"toys/red/notes.jpg") && paths.contains(&"../../escape/x.png"), "{paths:?}");
    assert!(rejected.iter().all(|entry| !entry["reason"].as_str().unwrap().is_empty()));

    let images = server.get("/v1/datasets/mixed/images").expect(200);
    let image = images["items"].as_array().unwrap().iter().find(|image| image["path"] == "toys/red/a.jpg").unwrap().clone();
    let bytes = server.get(&format!("/v1/datasets/mixed/images/{}", image["image"]));
    assert_eq!((bytes.status, bytes.content_type.as_str()), (200, "image/jpeg"));
    assert_eq!(bytes.body, encoded(0, 10, ImageFormat::Jpeg));
}

#[test]
fn what_cannot_be_a_data_set_is_refused_with_what_to_change() {
    let server = Server::start();
    let good = zip(&entries(2, 2));
    let upload = |name: &str, body: &[u8]| server.post(&format!("/v1/datasets?name={name}"), "application/zip", body);
    let detail = upload("broken", &good[..good.len() / 2]).problem(422, "broken_archive");
    assert!(detail.contains("zip"), "{detail}");
    upload("text", b"just some text, no archive at all").problem(422, "unknown_archive");
    upload("no/name", &good).problem(422, "invalid_field");
    upload("taken", &good).expect(202);
    upload("taken", &good).problem(409, "dataset_name_taken");
    server.get("/v1/datasets/nowhere").problem(404, "dataset_not_found");

    let one = server.dataset("one-class", &zip(&entries(1, 4)));
    assert_eq!((&one["state"], &one["error"]["code"]), (&"failed".into(), &"too_few_classes".into()));
    let mut lonely = entries(2, 2);
    lonely.truncate(3);
    let small = server.dataset("small", &zip(&lonely));
    assert_eq!((&small["state"], &small["error"]["code"]), (&"failed".into(), &"class_too_small".into()));
    assert!(small["error"]["message"].as_str().unwrap().contains("green"), "{small}");
    // Nothing of what was refused is left.
    assert_eq!(std::fs::read_dir(server.data_dir().join("uploads")).unwrap().count(), 0);
}

/// Saved again, smaller and as JPEG: the data set says so, and validation asks about nothing that was learnt from.
#[test]
fn copies_are_found_and_stay_on_one_side_of_the_split() {
    let server = Server::start();
    let copy = |seed| {
        let small = image::DynamicImage::from(scene(seed)).resize(200, 150, image::imageops::FilterType::Triangle).to_rgb8();
        written(&small, ImageFormat::Jpeg)
    };
    let mut entries: Vec<(String, Vec<u8>)> = (0..16)
        .map(|seed| {
            (format!("scenes/{}/{seed:02}.png", if seed < 8 { "a" } else { "b" }), written(&scene(seed), ImageFormat::Png))
        })
        .collect();
    // Of the first three of `a`; the last of them says `b`.
    for (path, seed) in [("a/copy-0", 0), ("a/copy-1", 1), ("b/copy-2", 2)] {
        entries.push((format!("scenes/{path}.jpg"), copy(seed)));
    }
    server.dataset("scenes", &zip(&entries));
    let images = server.get("/v1/datasets/scenes/images?limit=500").json()["items"].as_array().unwrap().clone();
    let group = |path: &str| {
        let image = images.iter().find(|image| image["path"] == format!("scenes/{path}")).unwrap();
        image.get("duplicate_group").map(|group| group.as_u64().unwrap())
    };
    for (one, other) in [("a/00.png", "a/copy-0.jpg"), ("a/01.png", "a/copy-1.jpg"), ("a/02.png", "b/copy-2.jpg")] {
        assert!(group(one).is_some() && group(one) == group(other), "{one} {other}: {:?} {:?}", group(one), group(other));
    }
    assert_eq!(images.iter().filter(|image| image.get("duplicate_group").is_some()).count(), 6, "{images:?}");

    for seed in 1..4 {
        let mut recipe = crate::jobs::quick();
        recipe["seed"] = json!(seed);
        recipe["group_duplicates"] = json!(true);
        recipe["warm_up"] = json!({"epochs": 1});
        recipe["fine_tune"] = json!({"epochs": 0});
        let job = server.finished(&server.submit("scenes", "scenes", &recipe));
        let report = server.get(&format!("/v1/jobs/{}/report", job["id"].as_str().unwrap())).json();
        let validated = |path: &str| {
            let predictions = report["predictions"].as_array().unwrap();
            predictions.iter().any(|prediction| prediction["path"] == format!("scenes/{path}"))
        };
        for (one, other) in [("a/00.png", "a/copy-0.jpg"), ("a/01.png", "a/copy-1.jpg"), ("a/02.png", "b/copy-2.jpg")] {
            assert_eq!(validated(one), validated(other), "seed {seed}: {one} {other}");
        }
    }
}

#[test]
fn limits_come_from_settings() {
    let server = Server::start_with(&["--max-upload-bytes", "2000", "--max-entries", "5"]);
    let detail = server.post("/v1/datasets", "application/zip", &zip(&entries(2, 8))).problem(413, "too_large");
    assert!(detail.contains("2000") || detail.contains("2,000"), "{detail}");
    let many: Vec<_> = (0..9).map(|n| (format!("a/{n}/x.txt"), b"x".to_vec())).collect();
    server.post("/v1/datasets", "application/zip", &zip(&many)).problem(422, "too_many_entries");
}

#[test]
fn a_deleted_data_set_is_gone() {
    let server = Server::start();
    server.dataset("gone", &zip(&entries(2, 2)));
    let datasets = || std::fs::read_dir(server.data_dir().join("datasets")).unwrap().count();
    assert_eq!(datasets(), 1);
    assert_eq!(server.delete("/v1/datasets/gone").status, 204);
    server.get("/v1/datasets/gone").problem(404, "dataset_not_found");
    assert_eq!(datasets(), 0);
}

#[test]
fn features_go_with_the_last_data_set_of_their_content() {
    let server = Server::start();
    let archive = zip(&entries(2, 4));
    server.dataset("one", &archive);
    server.dataset("two", &archive);
    let job = server.finished(&server.submit("one", "toys", &crate::jobs::quick()));
    assert_eq!(job["state"], "succeeded", "{job}");
    let segments = |shelf: std::path::PathBuf| {
        let names = std::fs::read_dir(shelf).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".segment")).count()
    };
    let features = || {
        let shelves = std::fs::read_dir(server.data_dir().join("cache/features")).unwrap();
        shelves.map(|shelf| segments(shelf.unwrap().path())).sum::<usize>()
    };
    assert_eq!(server.delete("/v1/datasets/one").status, 204);
    // At the freeze boundary and at the top.
    assert_eq!(features(), 2);
    assert_eq!(server.delete("/v1/datasets/two").status, 204);
    assert_eq!(features(), 0);
}
