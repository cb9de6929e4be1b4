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

/// Three steps of Adam on `count` numbers, as the operator takes them and by one operation of libtorch after another.
fn stepped(count: i64, decoupled: bool) -> [(Tensor, Tensor); 3] {
    let (rate, weight_decay) = (0.1, 0.5);
    let adam = Adam { betas: (0.9, 0.999), epsilon: 1e-8, weight_decay, decoupled };
    let state = || {
        (numbers(count), Tensor::zeros([count], (Kind::Float, Device::Cpu)), Tensor::zeros([count], (Kind::Float, Device::Cpu)))
    };
    let ((mut p, mut m, mut v), (mut expected, mut first, mut second)) = (state(), state());
    for step in 1..=3 {
        let gradient = (numbers(count + 1).narrow(0, 1, count) - 0.3) * f64::from(step);
        super::adam(&adam, &mut p, &gradient, &mut m, &mut v, step, rate).unwrap();
        let gradient = if decoupled { gradient } else { gradient + &expected * weight_decay };
        if decoupled {
            expected *= 1.0 - rate * weight_decay;
        }
        first = first * 0.9 + &gradient * 0.1;
        second = second * 0.999 + gradient.square() * 0.001;
        let (unbias_1, unbias_2) = (1.0 - 0.9f64.powi(step), 1.0 - 0.999f64.powi(step));
        expected -= (&first / unbias_1) * rate / ((&second / unbias_2).sqrt() + 1e-8);
    }
    [(p, expected), (m, first), (v, second)]
}

#[test]
fn adam_moves_every_number_and_both_moments() {
    // Whole vectors and what is left over beside them, by one thread and by several.
    for (count, decoupled) in [(1, false), (7, true), (1000, false), (1_000_003, true), (1_000_003, false)] {
        for (found, expected) in stepped(count, decoupled) {
            assert!(found.allclose(&expected, 1e-4, 1e-6, false), "{count} numbers, decoupled: {decoupled}");
        }
    }
}

#[test]
fn adam_refuses_what_does_not_lie_side_by_side() {
    let adam = Adam { betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.0, decoupled: true };
    let zeros = || numbers(6) * 0.0;
    let refused = |gradient: &Tensor| {
        let (mut p, mut m, mut v) = (numbers(6), zeros(), zeros());
        super::adam(&adam, &mut p, gradient, &mut m, &mut v, 1, 0.1).unwrap_err().to_string()
    };
    for gradient in [numbers(5), numbers(12).slice(0, 0, 12, 2), numbers(6).to_kind(Kind::Double), numbers(6).reshape([2, 3])] {
        assert!(refused(&gradient).contains("side by side"), "{gradient:?}");
    }
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

/// Steps `[pictures, channels, height, width]` in channels-last memory, half of them 0 and some 255, as activations are.
fn steps(shape: [i64; 4]) -> Tensor {
    maps(shape).multiply_scalar(300.0).clamp(0.0, 255.0).to_kind(Kind::Uint8)
}

/// 8-bit kernels, the sizes of their steps, and biases.
fn int8_kernels(outputs: i64, inputs: i64) -> (Tensor, Tensor, Tensor) {
    // As large as sums of 528 inputs allow.
    let weight = maps([outputs, inputs, 3, 3]).multiply_scalar(100.0).round().to_kind(Kind::Int8);
    (weight, (numbers(outputs).abs() + 0.5) * 1e-3, numbers(outputs) * 5.0)
}

/// oneDNN's convolution on whole numbers, ReLU and rounding to steps, in its order of factors; sums are exact in f64.
fn expected_steps(x: &Tensor, weight: &Tensor, [scales, bias]: [&Tensor; 2], [from, to]: [f64; 2], pooled: bool) -> Tensor {
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    let sums = double(x).conv2d(&double(weight), None::<Tensor>, [1, 1], [1, 1], [1, 1], 1).to_kind(Kind::Float);
    let channels = |x: &Tensor| x.reshape([1, -1, 1, 1]);
    let y = (sums * f64::from(from as f32) * channels(scales) + channels(bias)) * f64::from(1.0 / to as f32);
    let y = y.clamp(0.0, 255.0).round().to_kind(Kind::Uint8);
    if pooled { y.to_kind(Kind::Float).max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false).to_kind(Kind::Uint8) } else { y }
}

#[test]
fn filtered_8_bit_convolutions_are_exact() {
    for (shape, outputs) in SHAPES {
        let (x, (weight, scales, bias)) = (steps(shape), int8_kernels(outputs, shape[1]));
        let transformed = transformed_int8_kernels(&weight).unwrap();
        // As many steps come out as go in, and about half of them are 0.
        let scale = [0.7, 0.02 * (shape[1] as f64).sqrt()];
        for pooled in [false, true] {
            if pooled && shape[2].min(shape[3]) < 2 {
                continue;
            }
            let expected = expected_steps(&x, &weight, [&scales, &bias], scale, pooled);
            let conv = |x: &Tensor| filtered_conv_int8(x, scale[0], &transformed, &scales, &bias, scale[1], pooled).unwrap();
            let y = conv(&x);
            assert!(y.equal(&expected), "{shape:?} to {outputs}, pooled: {pooled}");
            assert!(y.permute([0, 2, 3, 1]).is_contiguous(), "results lie channels last");
            assert!(conv(&x.contiguous()).equal(&y), "{shape:?} to {outputs}, channels first");
        }
    }
}

#[test]
fn the_largest_sums_are_exact_and_larger_ones_are_refused() {
    // All steps 255: in the middle of the map, sums of all the positive or all the negative numbers of a kernel.
    let (inputs, outputs) = (128, 16);
    let x = Tensor::full([1, inputs, 9, 9], 255, (Kind::Uint8, Device::Cpu));
    let kernel = |steps: i64| Tensor::full([outputs, inputs, 3, 3], steps, (Kind::Int8, Device::Cpu));
    let (scales, bias) =
        (Tensor::ones([outputs], (Kind::Float, Device::Cpu)), Tensor::zeros([outputs], (Kind::Float, Device::Cpu)));
    // 114 · 9 · 128 · 255 is just below 2²⁵, 115 times above.
    for steps in [114, -114] {
        let transformed = transformed_int8_kernels(&kernel(steps)).unwrap();
        let scale = [1.0, 200_000.0];
        let expected = expected_steps(&x, &kernel(steps), [&scales, &bias], scale, false);
        assert!(filtered_conv_int8(&x, scale[0], &transformed, &scales, &bias, scale[1], false).unwrap().equal(&expected));
        assert_eq!(expected.max().int64_value(&[]), if steps > 0 { 167 } else { 0 });
    }
    for steps in [115, -115] {
        assert!(transformed_int8_kernels(&kernel(steps)).unwrap_err().to_string().contains("26 bits"), "{steps}");
    }
    // What is added and what is taken away are looked at apart.
    let mixed = Tensor::cat(&[kernel(114).narrow(1, 0, 64), kernel(-114).narrow(1, 0, 64)], 1);
    let transformed = transformed_int8_kernels(&mixed).unwrap();
    let checkered = Tensor::cat(&[x.narrow(1, 0, 64), x.narrow(1, 0, 64).zeros_like()], 1);
    let expected = expected_steps(&checkered, &mixed, [&scales, &bias], [1.0, 70_000.0], false);
    assert!(filtered_conv_int8(&checkered, 1.0, &transformed, &scales, &bias, 70_000.0, false).unwrap().equal(&expected));
}

#[test]
fn other_8_bit_convolutions_are_refused() {
    let (weight, scales, bias) = int8_kernels(16, 32);
    let transformed = transformed_int8_kernels(&weight).unwrap();
    let refused = |x: &Tensor, kernels: &Tensor, scales: &Tensor| {
        filtered_conv_int8(x, 1.0, kernels, scales, &bias, 1.0, false).unwrap_err().to_string()
    };
    assert!(refused(&steps([1, 16, 4, 4]), &transformed, &scales).contains("32 channels"));
    assert!(refused(&maps([1, 32, 4, 4]), &transformed, &scales).contains("uint8"));
    assert!(refused(&steps([1, 32, 4, 4]), &weight, &scales).contains("panels"));
    assert!(refused(&steps([1, 32, 4, 4]), &transformed, &numbers(15)).contains("each of the outputs"));
    assert!(transformed_int8_kernels(&kernels(16, 32).0).unwrap_err().to_string().contains("int8"));
    assert!(transformed_int8_kernels(&int8_kernels(16, 8).0).unwrap_err().to_string().contains("runs of 16"));
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
