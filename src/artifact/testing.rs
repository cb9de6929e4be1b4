//! What tests of artifacts share.

use std::collections::BTreeMap;

use super::{BackboneRef, DatasetRef, FORMAT, Manifest};
use crate::recipe::Recipe;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;
use crate::vision::preprocessing::Preprocessing;

/// A manifest of two classes.
pub(crate) fn manifest(model: &str, version: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        model: model.to_owned(),
        version,
        created_at: chrono::Utc::now(),
        classes: vec!["daisy".to_owned(), "tulip".to_owned()],
        backbone: BackboneRef { id: "vgg16".to_owned(), sha256: "0".repeat(64), scales: None, attribution: "VGG".to_owned() },
        preprocessing: Preprocessing::default(),
        precision: Precision::F32,
        unfreeze_from: UnfreezeFrom::BLOCK5_CONV1,
        temperature: 1.0,
        recipe: Recipe::default(),
        dataset: DatasetRef { id: String::new(), name: "d".to_owned(), content_sha256: String::new() },
        libraries: BTreeMap::new(),
        files: BTreeMap::new(),
    }
}
