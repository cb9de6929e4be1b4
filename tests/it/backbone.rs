//! The ImageNet body against golden activations: tests/data/vgg16_golden.json, made by an independent implementation.

use serde_json::Value;
use tch::{Kind, Tensor};
use topgraft::vision::backbone::Backbone;
use topgraft::vision::device;
use topgraft::vision::layers::{CONVS, UnfreezeFrom};
use topgraft::vision::precision::Precision;
use topgraft::vision::weights::BodyWeights;

use crate::server::weights;

const SIDE: usize = 224;

/// The synthetic picture that the golden file names: rgb[y][x][c] = (7y + 3x + 11c + (xy >> 5)) mod 256.
fn synthetic() -> Vec<u8> {
    let value = |y: usize, x: usize, c: usize| ((7 * y + 3 * x + 11 * c + ((x * y) >> 5)) % 256) as u8;
    (0..SIDE).flat_map(|y| (0..SIDE).flat_map(move |x| (0..3).map(move |c| value(y, x, c)))).collect()
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../data/vgg16_golden.json")).unwrap()
}

/// Largest difference from the golden values, relative to the block's largest activation and to each value.
fn worst(precision: Precision) -> (f64, f64) {
    let golden = golden();
    let body = BodyWeights::load(&weights()).unwrap();
    let hash = &golden["sha256_of_tensors_in_order_weight_oihw_then_bias_le_f32"];
    assert_eq!(body.sha256(), hash.as_str().unwrap());
    let backbone = Backbone::new(&body, precision, device::device(), UnfreezeFrom::NONE).unwrap();
    let mut x = backbone.pixels(&synthetic(), SIDE).unwrap();
    let (mut passed, mut of_value, mut of_mean) = (0, 0f64, 0f64);
    for (index, conv) in CONVS.iter().enumerate().filter(|(_, conv)| conv.pooled) {
        x = backbone.frozen(&x, passed, index + 1).unwrap();
        passed = index + 1;
        let block = &golden["blocks"][format!("{}_pool", conv.name.split('_').next().unwrap())];
        let shape: Vec<i64> = block["shape_nchw"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
        assert_eq!(x.size(), shape);
        let flat = backbone.handed_over(&x, passed).unwrap().to_kind(Kind::Float).contiguous().view(-1);
        let mean = f64::try_from(flat.mean(Kind::Double)).unwrap();
        of_mean = of_mean.max((mean / block["mean"].as_f64().unwrap() - 1.0).abs());
        for (place, expected) in block["nchw_flat_values"].as_object().unwrap() {
            let found = flat.double_value(&[place.parse().unwrap()]);
            let expected = expected.as_f64().unwrap();
            // A value of exactly zero was clamped by the ReLU; it is compared on the scale of its block's mean.
            of_value = of_value.max((found - expected).abs() / expected.abs().max(block["mean"].as_f64().unwrap()));
        }
    }
    (of_value, of_mean)
}

#[test]
fn f32_matches_the_golden_activations_block_by_block() {
    let (of_value, of_mean) = worst(Precision::F32);
    assert!(of_value <= 1e-4 && of_mean <= 1e-4, "{of_value:e} {of_mean:e}");
}

#[test]
fn int8_stays_close_to_them() {
    // 8 bits for the activations and the weights of each layer, and ranges made for photographs, which these waves aren't.
    let (of_value, of_mean) = worst(Precision::Int8);
    assert!(of_value <= 0.5 && of_mean <= 0.2, "{of_value:e} {of_mean:e}");
}

#[test]
fn bf16_stays_close_to_them() {
    // 8 bits of mantissa, 13 layers deep.
    let (of_value, of_mean) = worst(Precision::Bf16);
    assert!(of_value <= 0.06 && of_mean <= 0.02, "{of_value:e} {of_mean:e}");
}

#[test]
fn pictures_together_come_to_the_same_bits_as_alone() {
    let body = BodyWeights::load(&weights()).unwrap();
    let boundary = UnfreezeFrom::BLOCK5_CONV1;
    for precision in device::fast(device::device(), true) {
        let backbone = Backbone::new(&body, precision, device::device(), boundary).unwrap();
        let frozen = boundary.frozen();
        // Each picture is another part of the waves.
        let below = |number: usize| {
            let mut rgb = synthetic();
            rgb.rotate_left(number * 40 * SIDE * 3);
            backbone.frozen(&backbone.pixels(&rgb, SIDE).unwrap(), 0, frozen).unwrap()
        };
        let below: Vec<Tensor> = (0..backbone.together(frozen)).map(below).collect();
        let upper = |x: &Tensor| backbone.upper(&backbone.handed_over(x, frozen).unwrap(), frozen, CONVS.len()).unwrap();
        let together = upper(&Tensor::cat(&below, 0));
        for (number, alone) in (0i64..).zip(&below) {
            assert!(together.narrow(0, number, 1).equal(&upper(alone)), "{precision:?}, picture {number}");
        }
    }
}
