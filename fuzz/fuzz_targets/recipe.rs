//! Any bytes as a recipe's request: what resolves is written and read back as itself, and resolving it again changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topgraft::recipe::{Recipe, RecipeRequest};
use topgraft_fuzz::{plant, recipes};

fuzz_target!(init: plant(recipes), |bytes: &[u8]| {
    let Ok(request) = serde_json::from_slice::<RecipeRequest>(bytes) else { return };
    let rewritten = serde_json::to_string(&request).expect("a request is plain data");
    let request_again: RecipeRequest = serde_json::from_str(&rewritten).expect("it was just written");
    match (request.resolve(), request_again.resolve()) {
        (Ok(recipe), Ok(again)) => {
            assert_eq!(recipe, again);
            let written = serde_json::to_string(&recipe).expect("a recipe is plain data");
            assert_eq!(serde_json::from_str::<Recipe>(&written).expect("a recipe reads back"), recipe);
        }
        (Err(invalid), Err(again)) => {
            assert!(!invalid.0.is_empty());
            assert_eq!(invalid, again);
        }
        (one, other) => panic!("{one:?} {other:?}"),
    }
});
