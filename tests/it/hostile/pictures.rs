//! Pictures in uploads, to classify, and decoded here.

use std::collections::HashMap;

use image::{ImageFormat, Rgb, RgbImage};
use topgraft::vision::picture::{self, PictureLimits};
use topgraft::vision::preprocessing::Preprocessing;

use super::cases::{LIMITS, Picture, Seen, pictures, turned, written};
use super::guard::Guarded;
use crate::jobs::quick;
use crate::pictures::{entries, zip};
use crate::server::Server;

const DECODE: PictureLimits = PictureLimits { max_bytes: LIMITS[3].1, max_pixels: LIMITS[4].1 };

#[test]
fn every_picture_decodes_right_or_is_refused_with_a_reason() {
    let mut wrong = Vec::new();
    for case in pictures() {
        let whole = picture::decode(&case.bytes, &DECODE);
        let right = match (&case.outcome, &whole) {
            (Seen::Rejected(reason), Err(error)) => error.to_string().contains(reason),
            (Seen::Size(width, height), Ok(seen)) => (*width, *height) == (seen.width(), seen.height()),
            (Seen::Pixel(width, height, pixel), Ok(seen)) => {
                let near = pixel.iter().zip(seen.rgb()).all(|(expected, value)| expected.abs_diff(*value) <= 2);
                near && (*width, *height) == (seen.width(), seen.height())
            }
            _ => false,
        };
        if !right {
            let first = whole.as_ref().map(|seen| seen.rgb()[..3].to_vec());
            wrong.push(format!("{}: {whole:?} {first:?}, expected {:?}", case.name, case.outcome));
        }
        // Whether it is a picture doesn't depend on how large it is wanted.
        let small = Preprocessing { input_size: 32, ..Preprocessing::default() }.decode(&case.bytes, &DECODE);
        if small.is_ok() != whole.is_ok() {
            wrong.push(format!("{}: whole {whole:?}, small {small:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn all_eight_orientations_are_exact() {
    let (width, height) = (24, 16);
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 10) as u8, (y * 15) as u8, (x + y) as u8]));
    let jpeg = written(&image, ImageFormat::Jpeg);
    let stored = picture::decode(&jpeg, &DECODE).unwrap();
    let (last_column, last_row) = (width - 1, height - 1);
    for orientation in 1..=8u16 {
        let upright = picture::decode(&turned(&jpeg, orientation), &DECODE).unwrap();
        let size = if orientation < 5 { (width, height) } else { (height, width) };
        assert_eq!((upright.width(), upright.height()), size, "orientation {orientation}");
        for (x, y) in (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y))) {
            // Where the pixel at (x, y) is stored, from what each value says of the stored rows and columns (EXIF 2.3, 4.6.4).
            let (column, row) = match orientation {
                1 => (x, y),
                2 => (last_column - x, y),
                3 => (last_column - x, last_row - y),
                4 => (x, last_row - y),
                5 => (y, x),
                6 => (y, last_row - x),
                7 => (last_column - y, last_row - x),
                _ => (last_column - y, x),
            };
            let pixel = |picture: &picture::Picture, x: u32, y: u32| {
                let at = 3 * (y * picture.width() + x) as usize;
                picture.rgb()[at..at + 3].to_vec()
            };
            assert_eq!(pixel(&upright, x, y), pixel(&stored, column, row), "orientation {orientation} at ({x}, {y})");
        }
    }
}

/// So many go into one archive.
const TOGETHER: usize = 40;

#[test]
fn every_picture_in_an_upload_is_taken_or_rejected_with_a_reason() {
    let guarded = Guarded::start();
    let mut wrong = Vec::new();
    for (number, group) in pictures().chunks(TOGETHER).enumerate() {
        let files = group.iter().map(|case| (format!("x/{}", case.name), case.bytes.clone()));
        let archive: Vec<_> = entries(2, 2).into_iter().chain(more("x")).chain(files).collect();
        let name = format!("pictures-{number}");
        let dataset = guarded.server.dataset(&name, &zip(&archive));
        assert_eq!(dataset["state"], "ready", "{dataset}");
        let images = guarded.server.get(&format!("/v1/datasets/{name}/images?label=x&limit=500")).expect(200);
        let taken: HashMap<_, _> = images["items"].as_array().unwrap().iter().map(|image| (&image["path"], image)).collect();
        let rejected: HashMap<_, _> =
            dataset["rejected"].as_array().unwrap().iter().map(|entry| (&entry["path"], &entry["reason"])).collect();
        for case in group {
            let path = serde_json::Value::from(format!("x/{}", case.name));
            let right = match (&case.outcome, taken.get(&path), rejected.get(&path)) {
                (Seen::Rejected(reason), None, Some(said)) => said.as_str().unwrap().contains(reason),
                (Seen::Size(width, height) | Seen::Pixel(width, height, _), Some(image), None) => {
                    image["width"] == *width && image["height"] == *height
                }
                _ => false,
            };
            if !right {
                wrong.push(format!("{}: {:?} {:?}", case.name, taken.get(&path), rejected.get(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    guarded.assert_unharmed();
}

#[test]
fn every_picture_to_classify_is_answered_with_a_label_or_a_reason() {
    let limits = LIMITS.map(|(flag, limit)| (flag, limit.to_string()));
    let flags: Vec<&str> = limits.iter().flat_map(|(flag, limit)| [*flag, limit.as_str()]).collect();
    let server = Server::start_with(&flags);
    server.trained("toys", &quick());
    for group in pictures().chunks(TOGETHER) {
        let files: Vec<_> = group.iter().map(|case| (case.name.to_owned(), case.bytes.clone())).collect();
        let lines = server.post("/predict", "application/zip", &zip(&files)).lines();
        let answers: Vec<_> = lines.iter().filter(|line| line.get("path").is_some()).collect();
        assert_eq!(answers.len(), group.len());
        for (line, Picture { name, outcome, .. }) in answers.iter().zip(group) {
            assert_eq!(line["path"], *name);
            match outcome {
                Seen::Rejected(_) => assert_eq!(line["error"]["code"], "unusable_picture", "{line}"),
                Seen::Size(..) | Seen::Pixel(..) => assert!(line["label"].is_string(), "{line}"),
            }
        }
    }
    assert_eq!(server.get("/healthz").status, 200);
}

/// Two pictures of a class that has no others for sure.
fn more(class: &str) -> Vec<(String, Vec<u8>)> {
    [1, 2].map(|number| (format!("{class}/good-{number}.png"), super::cases::small(number))).into()
}
