//! What an ONNX file says of itself.

use serde_json::json;

use super::proto::Entry;
use crate::artifact::Manifest;
use crate::vision::preprocessing::Resize;
use crate::vision::weights::PixelConvention;

/// What the output is.
pub(super) const OF_PROBABILITIES: &str = "Class probabilities, in the order of the metadata entry `classes`.";

/// What the model is.
pub(super) fn of_model(manifest: &Manifest) -> String {
    format!(
        "{} version {}: VGG16 fine-tuned on the dataset {}, {} classes. Backbone: {}.",
        manifest.model,
        manifest.version,
        manifest.dataset.name,
        manifest.classes.len(),
        manifest.backbone.attribution
    )
}

/// What the input is and how to make it.
pub(super) fn of_pictures(manifest: &Manifest) -> String {
    let side = manifest.preprocessing.input_size;
    let resize = match manifest.preprocessing.resize {
        Resize::Squash => format!("the whole picture resized to {side} x {side}, its aspect ratio not kept"),
        Resize::Square => format!("the central square, as large as it can be, resized to {side} x {side}"),
        Resize::Crop => format!(
            "the central square whose side is {side}/{} of the shorter side, resized to {side} x {side}",
            manifest.preprocessing.scaled_side()
        ),
    };
    format!(
        "RGB pictures, 0 to 255, rows then columns then channels: upright (EXIF orientation applied), transparency over \
         white, {resize}, with antialiased bilinear filtering. All that follows is in the graph."
    )
}

/// Entries for programs. Values that aren't plain text are JSON.
pub(super) fn entries(manifest: &Manifest, pixels: PixelConvention) -> Vec<Entry> {
    let backbone = &manifest.backbone;
    let entries = [
        ("classes", json!(manifest.classes).to_string()),
        ("model", manifest.model.clone()),
        ("version", manifest.version.to_string()),
        ("created_at", manifest.created_at.to_rfc3339()),
        ("preprocessing", json!(manifest.preprocessing).to_string()),
        ("pixels", pixels.as_str().to_owned()),
        ("precision", manifest.precision.as_str().to_owned()),
        ("temperature", manifest.temperature.to_string()),
        ("test_time_flip", manifest.recipe.test_time_flip.to_string()),
        ("dataset", manifest.dataset.name.clone()),
        ("backbone", backbone.id.clone()),
        ("backbone_sha256", backbone.sha256.clone()),
        ("attribution", backbone.attribution.clone()),
    ];
    entries.into_iter().map(|(key, value)| Entry { key: Some(key.to_owned()), value: Some(value) }).collect()
}
