use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::super::binary::{from_floats, from_texts};
use super::*;

const EXPECTED: Expected = Expected { side: 2, most: 4 };
/// Elements of a picture of that side.
const SIZE: usize = 12;

fn tensor(name: &str, datatype: &str, shape: &[u64], elements: Elements) -> Tensor {
    Tensor { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec(), elements }
}

fn pictures(tensor: Tensor) -> Result<Vec<Vec<u8>>, String> {
    let (pictures, fields) = tensor.pictures(EXPECTED).map_err(|error| error.message())?;
    assert_eq!(pictures.len(), fields.len());
    let bytes = |picture| match picture {
        Input::Encoded(bytes) | Input::Rendered(bytes) => bytes.to_vec(),
    };
    Ok(pictures.into_iter().map(bytes).collect())
}

fn floats(numbers: &[f32]) -> Elements {
    Elements::Binary(from_floats(numbers).into())
}

/// From three bytes a pixel to a plane a channel.
fn planes(pixels: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect()
}

#[test]
fn encoded_pictures_come_in_both_forms() {
    let binary = Elements::Binary(from_texts(&["ab".to_owned(), String::new()]).into());
    assert_eq!(pictures(tensor("pictures", "BYTES", &[2], binary)).unwrap(), [b"ab".to_vec(), Vec::new()]);
    let json = Elements::Json(Data::Texts(vec![BASE64_STANDARD.encode([0, 255]), "YWI=".to_owned()]));
    assert_eq!(pictures(tensor("pictures", "BYTES", &[2], json)).unwrap(), [vec![0, 255], b"ab".to_vec()]);
}

#[test]
fn fractions_are_rounded_and_other_values_refused() {
    let mut numbers = [0.0; SIZE];
    numbers[..5].copy_from_slice(&[0.4, 0.5, 254.6, 255.0, 127.499]);
    let rounded = pictures(tensor("pixels", "FP32", &[1, 2, 2, 3], floats(&numbers))).unwrap();
    assert_eq!(rounded[0][..6], [0, 1, 255, 255, 127, 0]);
    for wrong in [f32::NAN, f32::INFINITY, -0.1, 255.1] {
        numbers[7] = wrong;
        for elements in [floats(&numbers), Elements::Json(Data::Numbers(numbers.to_vec()))] {
            let error = pictures(tensor("pixels", "FP32", &[1, 2, 2, 3], elements)).unwrap_err();
            assert!(error.contains("pixels[7] must be from 0 to 255"), "{error}");
        }
    }
    numbers[7] = 0.0;
    let fraction = Elements::Json(Data::Numbers(numbers.to_vec()));
    assert!(pictures(tensor("pixels", "UINT8", &[1, 2, 2, 3], fraction)).unwrap_err().contains("whole number"));
}

#[test]
fn shapes_counts_names_and_types_are_checked() {
    let binary = |length: usize| Elements::Binary(vec![0; length].into());
    let texts = |count: usize| Elements::Json(Data::Texts(vec!["YQ==".to_owned(); count]));
    let numbers = || Elements::Json(Data::Numbers(vec![0.0; SIZE]));
    let cases = [
        (tensor("images", "BYTES", &[1], texts(1)), "one named pictures or pixels"),
        (tensor("pictures", "FP32", &[1], texts(1)), "BYTES"),
        (tensor("pixels", "INT8", &[1, 2, 2, 3], binary(SIZE)), "FP32 or UINT8"),
        (tensor("pictures", "BYTES", &[], texts(1)), "the shape [N]"),
        (tensor("pictures", "BYTES", &[1, 1], texts(1)), "the shape [N]"),
        (tensor("pictures", "BYTES", &[0], texts(0)), "no picture"),
        (tensor("pictures", "BYTES", &[5], texts(5)), "at most 4"),
        (tensor("pictures", "BYTES", &[u64::MAX], texts(1)), "at most 4"),
        (tensor("pictures", "BYTES", &[2], texts(1)), "2 elements"),
        (tensor("pictures", "BYTES", &[2], texts(400)), "2 elements"),
        (tensor("pictures", "BYTES", &[1], binary(8)), "1 elements"),
        (tensor("pictures", "BYTES", &[1], binary(3)), "cut short"),
        (tensor("pictures", "BYTES", &[1], numbers()), "base64"),
        (tensor("pictures", "BYTES", &[1], Elements::Json(Data::Texts(vec!["!".to_owned()]))), "pictures[0]"),
        (tensor("pixels", "UINT8", &[1, 2, 3, 2], binary(SIZE)), "[N, 2, 2, 3] or [N, 3, 2, 2]"),
        (tensor("pixels", "UINT8", &[1, 12], binary(SIZE)), "[N, 2, 2, 3]"),
        (tensor("pixels", "UINT8", &[], binary(SIZE)), "[N, 2, 2, 3]"),
        (tensor("pixels", "UINT8", &[0, 2, 2, 3], binary(0)), "no picture"),
        (tensor("pixels", "UINT8", &[u64::MAX, 2, 2, 3], binary(SIZE)), "at most 4"),
        (tensor("pixels", "UINT8", &[1, 2, 2, 3], binary(SIZE - 1)), "12 elements"),
        (tensor("pixels", "FP32", &[1, 2, 2, 3], binary(4 * SIZE + 1)), "4 bytes an element"),
        (tensor("pixels", "FP32", &[2, 2, 2, 3], binary(4 * SIZE)), "24 elements"),
        (tensor("pixels", "FP32", &[1, 2, 2, 3], texts(SIZE)), "numbers"),
    ];
    for (tensor, message) in cases {
        let what = format!("{} {} {:?}", tensor.name, tensor.datatype, tensor.shape);
        let error = pictures(tensor).unwrap_err();
        assert!(error.contains(message), "{what}: {error}");
    }
}

proptest! {
    /// Four ways to send the same pixels.
    #[test]
    fn every_layout_and_datatype_gives_the_same_pixels(count in 1usize..=4, seed in proptest::collection::vec(any::<u8>(), 4 * SIZE)) {
        let sent: Vec<Vec<u8>> = seed.chunks(SIZE).take(count).map(<[u8]>::to_vec).collect();
        let (rows, columns) = (sent.concat(), sent.iter().flat_map(|picture| planes(picture)).collect::<Vec<_>>());
        let n = count as u64;
        for (shape, elements) in [([n, 2, 2, 3], rows), ([n, 3, 2, 2], columns)] {
            let as_floats: Vec<f32> = elements.iter().copied().map(f32::from).collect();
            for (datatype, elements) in [
                ("UINT8", Elements::Binary(elements.into())),
                ("FP32", floats(&as_floats)),
                ("FP32", Elements::Json(Data::Numbers(as_floats.clone()))),
                ("UINT8", Elements::Json(Data::Numbers(as_floats.clone()))),
            ] {
                prop_assert_eq!(&pictures(tensor("pixels", datatype, &shape, elements)).unwrap(), &sent);
            }
        }
    }
}
