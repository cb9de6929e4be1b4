//! From an input tensor to pictures.

use bytes::Bytes;

use super::binary::byte_strings;
use super::data::Data;
use crate::api::ApiError;
use crate::api::predict::{from_base64, no_picture};
use crate::inference::Input;

/// The input of encoded pictures.
pub(super) const PICTURES: &str = "pictures";
/// The input of pixels.
pub(super) const PIXELS: &str = "pixels";
/// Red, green, blue.
const CHANNELS: usize = 3;

/// An input tensor with its elements, wherever they were.
pub(super) struct Tensor {
    pub name: String,
    pub datatype: String,
    pub shape: Vec<u64>,
    pub elements: Elements,
}

/// A tensor's elements.
pub(super) enum Elements {
    Json(Data),
    Binary(Bytes),
}

/// What the model and the settings ask of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The side of the model's input in pixels.
    pub side: usize,
    /// The most pictures in one request.
    pub most: usize,
}

/// What a number of pixels is held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Fp32,
    Uint8,
}

impl Tensor {
    /// Its pictures, and what an error calls each of them.
    pub fn pictures(self, expected: Expected) -> Result<(Vec<Input>, Vec<String>), ApiError> {
        let name = self.name.clone();
        let pictures = match (name.as_str(), self.datatype.as_str()) {
            (PICTURES, "BYTES") => self.encoded(expected)?,
            (PIXELS, "FP32") => self.rendered(Number::Fp32, expected)?,
            (PIXELS, "UINT8") => self.rendered(Number::Uint8, expected)?,
            (PICTURES, other) => return Err(field(PICTURES, format!("must be of the datatype BYTES, not {other:?}"))),
            (PIXELS, other) => return Err(field(PIXELS, format!("must be of the datatype FP32 or UINT8, not {other:?}"))),
            (other, _) => {
                return Err(ApiError::field("inputs", format!("must have one named {PICTURES} or {PIXELS}, not {other:?}")));
            }
        };
        let fields = (0..pictures.len()).map(|number| format!("{name}[{number}]")).collect();
        Ok((pictures, fields))
    }

    fn encoded(self, expected: Expected) -> Result<Vec<Input>, ApiError> {
        let &[count] = self.shape.as_slice() else {
            return Err(field(PICTURES, format!("must have the shape [N], not {:?}", self.shape)));
        };
        let count = number_of_pictures(PICTURES, count, expected.most)?;
        let pictures: Vec<Bytes> = match self.elements {
            Elements::Binary(bytes) => byte_strings(bytes)?,
            Elements::Json(Data::Texts(texts)) => decoded(&texts, count)?,
            Elements::Json(Data::Numbers(_)) => return Err(field(PICTURES, "must be base64 texts in JSON".to_owned())),
        };
        if pictures.len() != count {
            return Err(field(PICTURES, format!("must have {count} elements, as its shape says, not {}", pictures.len())));
        }
        Ok(pictures.into_iter().map(Input::Encoded).collect())
    }

    fn rendered(self, number: Number, expected: Expected) -> Result<Vec<Input>, ApiError> {
        let side = expected.side;
        let wrong = || {
            let shape = &self.shape;
            field(PIXELS, format!("must have the shape [N, {side}, {side}, 3] or [N, 3, {side}, {side}], not {shape:?}"))
        };
        let [count, rest @ ..] = self.shape.as_slice() else { return Err(wrong()) };
        let (side_, channels) = (side as u64, CHANNELS as u64);
        let planes = if rest == [side_, side_, channels] {
            false
        } else if rest == [channels, side_, side_] {
            true
        } else {
            return Err(wrong());
        };
        let count = number_of_pictures(PIXELS, *count, expected.most)?;
        // The side is a model's, at most 1,024.
        let size = side * side * CHANNELS;
        let total = count.checked_mul(size).ok_or_else(wrong)?;
        let bytes = bytes_of(self.elements, number, total)?;
        let picture = |place: usize| {
            let picture = bytes.slice(place * size..(place + 1) * size);
            Input::Rendered(if planes { interleaved(&picture).into() } else { picture })
        };
        Ok((0..count).map(picture).collect())
    }
}

/// The number of pictures that a shape says.
fn number_of_pictures(name: &str, count: u64, most: usize) -> Result<usize, ApiError> {
    match usize::try_from(count) {
        Ok(0) => Err(no_picture()),
        Ok(count) if count <= most => Ok(count),
        _ => Err(field(name, format!("must be at most {most} in one request: send several requests"))),
    }
}

fn decoded(texts: &[String], count: usize) -> Result<Vec<Bytes>, ApiError> {
    let decode = |(number, text): (usize, &String)| {
        from_base64(text).map_err(|error| field(&format!("{PICTURES}[{number}]"), format!("must be base64 in JSON: {error}")))
    };
    // Those beyond the shape needn't be decoded to be refused.
    texts.iter().enumerate().take(count.saturating_add(1)).map(decode).collect()
}

/// Elements as bytes from 0 to 255; there must be `total`.
fn bytes_of(elements: Elements, number: Number, total: usize) -> Result<Bytes, ApiError> {
    let counted = |found: usize| match found == total {
        true => Ok(()),
        false => Err(field(PIXELS, format!("must have {total} elements, as its shape says, not {found}"))),
    };
    match (elements, number) {
        (Elements::Binary(bytes), Number::Uint8) => counted(bytes.len()).map(|()| bytes),
        (Elements::Binary(bytes), Number::Fp32) => {
            let (floats, left) = bytes.as_chunks::<4>();
            if !left.is_empty() {
                return Err(field(PIXELS, format!("must have 4 bytes an element, so {} bytes can't be", bytes.len())));
            }
            counted(floats.len())?;
            let byte = |(place, float): (usize, &[u8; 4])| byte(place, f32::from_le_bytes(*float));
            floats.iter().enumerate().map(byte).collect()
        }
        (Elements::Json(Data::Numbers(numbers)), number) => {
            counted(numbers.len())?;
            if let (Number::Uint8, Some(place)) = (number, numbers.iter().position(|number| number.fract() != 0.0)) {
                return Err(field(&format!("{PIXELS}[{place}]"), "must be a whole number: UINT8 has no others".to_owned()));
            }
            numbers.iter().enumerate().map(|(place, &number)| byte(place, number)).collect()
        }
        (Elements::Json(Data::Texts(_)), _) => Err(field(PIXELS, "must be numbers".to_owned())),
    }
}

/// The nearest whole number.
fn byte(place: usize, value: f32) -> Result<u8, ApiError> {
    // NaN is in no range.
    match (0.0..=255.0).contains(&value) {
        true => Ok(value.round() as u8),
        false => Err(field(&format!("{PIXELS}[{place}]"), format!("must be from 0 to 255, not {value}"))),
    }
}

/// From a plane a channel to three bytes a pixel.
fn interleaved(planes: &[u8]) -> Vec<u8> {
    let plane = planes.len() / CHANNELS;
    (0..planes.len()).map(|place| planes[place % CHANNELS * plane + place / CHANNELS]).collect()
}

fn field(name: &str, message: String) -> ApiError {
    ApiError::field(name, message)
}

#[cfg(test)]
mod tests;
