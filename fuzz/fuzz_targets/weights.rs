//! Any bytes as a weights file: refused with a reason, or every tensor whole and finite.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topgraft::vision::weights::{WeightsError, load_convs};
use topgraft_fuzz::{Scratch, TINY, plant, weights};

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

fuzz_target!(init: plant(weights), |bytes: &[u8]| {
    let file = SCRATCH.with(|scratch| scratch.holding(bytes));
    match load_convs(&file, &TINY) {
        Ok(layers) => {
            assert_eq!(layers.len(), TINY.len());
            for (layer, spec) in layers.iter().zip(TINY) {
                assert_eq!((layer.spec, layer.weight.len(), layer.bias.len()), (spec, spec.weight_len(), spec.outputs));
                assert!(layer.weight.iter().chain(&layer.bias).all(|number| number.is_finite()));
            }
        }
        // The file can be read, so what is wrong is its content.
        Err(error) => assert!(!matches!(error, WeightsError::Unreadable { .. }), "{error}"),
    }
});
