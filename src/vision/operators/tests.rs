//! What the shim computes, beside libtorch's own operators.

use tch::{Device, Kind};

use super::*;

fn clipped(x: &Tensor) -> Vec<u8> {
    let mut steps = x.empty_like().to_kind(Kind::Uint8);
    clip(x, &mut steps).unwrap();
    Vec::try_from(steps).unwrap()
}

#[test]
fn every_number_of_bf16_is_clipped() {
    let numbers: Vec<f32> = (0..=u16::MAX).map(|bits| half::bf16::from_bits(bits).to_f32()).filter(|n| !n.is_nan()).collect();
    // An odd number of them, so that some are left over beside whole vectors.
    let numbers = &numbers[1..];
    let expected: Vec<u8> = numbers.iter().map(|&n| n as u8).collect();
    let x = Tensor::from_slice(numbers);
    assert_eq!(clipped(&x), expected);
    assert_eq!(clipped(&x.to_kind(Kind::BFloat16)), expected);
}

#[test]
fn numbers_that_do_not_lie_side_by_side_are_clipped_too() {
    let numbers: Vec<f32> = (0..2 * 5 * 7 * 3).map(|n| 1.7 * n as f32 - 20.3).collect();
    let x = Tensor::from_slice(&numbers).reshape([2, 5, 7, 3]).permute([0, 3, 1, 2]);
    for x in [x.shallow_clone(), x.slice(3, 0, 7, 2), x.narrow(2, 1, 3)] {
        let mut steps = Tensor::zeros(x.size(), (Kind::Uint8, Device::Cpu));
        clip(&x, &mut steps).unwrap();
        assert!(steps.equal(&x.clamp(0.0, 255.0).to_kind(Kind::Uint8)));
    }
}

#[test]
fn other_kinds_and_shapes_are_refused() {
    let mut steps = Tensor::zeros([2], (Kind::Uint8, Device::Cpu));
    let mut refused = |x: Tensor| clip(&x, &mut steps).unwrap_err().to_string();
    assert!(refused(Tensor::zeros([2], (Kind::Double, Device::Cpu))).contains("f32 and bf16"));
    assert!(refused(Tensor::zeros([3], (Kind::Float, Device::Cpu))).contains("as many"));
}

/// `count` numbers that look like chance, around 0.
fn numbers(count: i64) -> Tensor {
    Tensor::arange(count, (Kind::Double, Device::Cpu))
        .multiply_scalar(12.9898)
        .sin()
        .multiply_scalar(43.7)
        .frac()
        .to_kind(Kind::Float)
}

/// Maps `[pictures, channels, height, width]` in channels-last memory.
fn maps([pictures, channels, height, width]: [i64; 4]) -> Tensor {
    numbers(pictures * height * width * channels).reshape([pictures, height, width, channels]).permute([0, 3, 1, 2])
}

/// Kernels as [`Conv`](crate::vision::conv::Conv) has them, and biases.
fn kernels(outputs: i64, inputs: i64) -> (Tensor, Tensor) {
    (maps([outputs, inputs, 3, 3]) / (9.0 * inputs as f64).sqrt(), numbers(outputs))
}

/// How far `x` is from `expected`, in parts of that.
fn error(x: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(x.size(), expected.size());
    let expected = expected.to_kind(Kind::Double);
    (x.to_kind(Kind::Double) - &expected).norm().double_value(&[]) / expected.norm().double_value(&[])
}

/// Whole tiles and parts of them, one picture and several, more tiles than are computed at a time.
const SHAPES: [([i64; 4], i64); 7] = [
    ([1, 16, 4, 4], 16),
    ([1, 16, 1, 1], 32),
    ([3, 32, 7, 11], 16),
    ([2, 64, 14, 14], 64),
    ([1, 64, 61, 90], 128),
    ([5, 528, 5, 9], 48),
    ([2, 512, 28, 28], 512),
];

#[test]
fn filtered_convolutions_are_convolutions() {
    for (shape, outputs) in SHAPES {
        let (x, (weight, bias)) = (maps(shape), kernels(outputs, shape[1]));
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let expected = double(&x).conv2d(&double(&weight), Some(double(&bias)), [1, 1], [1, 1], [1, 1], 1);
        let transformed = transformed_kernels(&weight).unwrap();
        let y = filtered_conv(&x, &transformed, &bias).unwrap();
        let error = error(&y, &expected);
        // Direct sums in f32 come to 5e-7 with 512 channels.
        assert!(error < 3e-6, "{shape:?} to {outputs}: {error}");
        assert_eq!(y.stride(), maps([shape[0], outputs, shape[2], shape[3]]).stride(), "results lie channels last");
        // What learns computes the same, and so does what doesn't lie channels last.
        assert!(filtered_conv_learning(&x, &weight, &bias).unwrap().equal(&y), "{shape:?}");
        assert!(filtered_conv(&x.contiguous(), &transformed, &bias).unwrap().equal(&y), "{shape:?}");
    }
}

#[test]
fn gradients_of_filtered_convolutions_are_those_of_convolutions() {
    for (shape, outputs) in SHAPES {
        let (x, (weight, bias)) = (maps(shape), kernels(outputs, shape[1]));
        let weighted = maps([shape[0], outputs, shape[2], shape[3]]);
        let gradients = |kind: Kind, conv: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Tensor| {
            let leaves = [&x, &weight, &bias].map(|leaf| leaf.to_kind(kind).detach().copy().set_requires_grad(true));
            let loss = (conv(&leaves[0], &leaves[1], &leaves[2]) * weighted.to_kind(kind)).sum(kind);
            Tensor::run_backward(&[loss], &leaves, false, false)
        };
        let expected = gradients(Kind::Double, &|x, weight, bias| x.conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1));
        let found = gradients(Kind::Float, &|x, weight, bias| filtered_conv_learning(x, weight, bias).unwrap());
        for (name, (found, expected)) in ["input", "kernels", "biases"].into_iter().zip(found.iter().zip(&expected)) {
            let error = error(found, expected);
            // Transforming multiplies numbers by up to 100 before their sums cancel.
            assert!(error < 2e-5, "{name} of {shape:?} to {outputs}: {error}");
        }
        // Frozen layers below need none of the input.
        let (weight, bias) = (weight.copy().set_requires_grad(true), bias.copy().set_requires_grad(true));
        let loss = (filtered_conv_learning(&x, &weight, &bias).unwrap() * &weighted).sum(Kind::Float);
        let alone = Tensor::run_backward(&[loss], &[&weight, &bias], false, false);
        assert!(alone[0].equal(&found[1]) && alone[1].equal(&found[2]), "{shape:?}");
    }
}

#[test]
fn filtered_convolutions_depend_on_nothing_but_the_picture() {
    let (x, (weight, bias)) = (maps([9, 64, 30, 26]), kernels(32, 64));
    let transformed = transformed_kernels(&weight).unwrap();
    let together = filtered_conv(&x, &transformed, &bias).unwrap();
    let threads = tch::get_num_threads();
    for count in [1, 2, 3] {
        tch::set_num_threads(count);
        assert!(filtered_conv(&x, &transformed, &bias).unwrap().equal(&together), "{count} threads");
        for picture in 0..9 {
            let alone = filtered_conv(&x.narrow(0, picture, 1), &transformed, &bias).unwrap();
            assert!(alone.equal(&together.narrow(0, picture, 1)), "picture {picture}, {count} threads");
        }
    }
    tch::set_num_threads(threads);
}

#[test]
fn what_is_not_filtered_is_refused() {
    let (weight, bias) = kernels(16, 32);
    let transformed = transformed_kernels(&weight).unwrap();
    let refused = |x: &Tensor| filtered_conv(x, &transformed, &bias).unwrap_err().to_string();
    assert!(refused(&maps([1, 16, 4, 4])).contains("32 channels"));
    assert!(refused(&maps([1, 32, 4, 4]).to_kind(Kind::BFloat16)).contains("f32"));
    assert!(filtered_conv(&maps([1, 32, 4, 4]), &weight, &bias).unwrap_err().to_string().contains("panels"));
    assert!(filtered_conv(&maps([1, 32, 4, 4]), &transformed, &numbers(15)).unwrap_err().to_string().contains("bias"));
    for odd in [kernels(16, 3).0, kernels(17, 16).0] {
        assert!(transformed_kernels(&odd).unwrap_err().to_string().contains("runs of 16"));
    }
}
