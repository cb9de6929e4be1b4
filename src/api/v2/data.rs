//! A tensor's elements in JSON: flat or in nested arrays, as the protocol allows both.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Elements in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// As 32-bit floats, which hold whole numbers up to 16,777,216.
    Numbers(Vec<f32>),
    Texts(Vec<String>),
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::Numbers(Vec::new());
        deserializer.deserialize_seq(Element(&mut data))?;
        Ok(data)
    }
}

/// Appends an element, or those of an array, so that no tree of values is ever built.
struct Element<'a>(&'a mut Data);

impl Element<'_> {
    /// A value between two floats becomes the nearest.
    fn number<E: Error>(self, number: f64) -> Result<(), E> {
        match self.0 {
            Data::Numbers(numbers) => numbers.push(number as f32),
            Data::Texts(_) => return Err(mixed()),
        }
        Ok(())
    }

    fn text<E: Error>(self, text: String) -> Result<(), E> {
        match self.0 {
            Data::Texts(texts) => texts.push(text),
            Data::Numbers(numbers) if numbers.is_empty() => *self.0 = Data::Texts(vec![text]),
            Data::Numbers(_) => return Err(mixed()),
        }
        Ok(())
    }
}

fn mixed<E: Error>() -> E {
    E::custom("the data of a tensor must be all numbers or all texts")
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers or of texts, which may be nested")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }

    // Whole numbers that a float doesn't hold are far beyond any element, and refused later.
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(json: &serde_json::Value) -> Result<Data, serde_json::Error> {
        serde_json::from_str(&json.to_string())
    }

    #[test]
    fn flat_and_nested_arrays_are_the_same() {
        let numbers = Data::Numbers(vec![0.0, 1.5, -2.0, 255.0]);
        for nested in [json!([0, 1.5, -2, 255]), json!([[0, 1.5], [-2, 255]]), json!([[[0], [1.5]], [[-2], [255]]])] {
            assert_eq!(read(&nested).unwrap(), numbers, "{nested}");
        }
        assert_eq!(read(&json!([["a"], ["b"]])).unwrap(), Data::Texts(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(&json!([])).unwrap(), Data::Numbers(Vec::new()));
    }

    #[test]
    fn what_is_no_tensor_is_refused() {
        for other in [json!("a"), json!(1), json!([1, "a"]), json!(["a", 1]), json!([null]), json!([true]), json!([{"a": 1}])] {
            assert!(read(&other).is_err(), "{other}");
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(serde_json::from_str::<Data>(&deep).is_err(), "a deep nesting must not use up the stack");
    }

    proptest! {
        #[test]
        fn floats_come_back_to_the_bit(numbers in proptest::collection::vec(-1e9f32..1e9, 0..40)) {
            prop_assert_eq!(read(&json!(numbers)).unwrap(), Data::Numbers(numbers));
        }
    }
}
