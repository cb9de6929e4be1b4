//! Recipes as requests give them.

use topgraft::recipe::Preset;

/// Nothing, each preset in full, and a few fields alone.
#[must_use]
pub fn recipes() -> Vec<Vec<u8>> {
    let presets = [Preset::Classic, Preset::Balanced, Preset::Thorough];
    let full = presets.map(|preset| serde_json::to_vec(&preset.recipe()).expect("a recipe is plain data"));
    let alone: [&[u8]; 4] = [
        b"{}",
        br#"{"preset":"classic","fine_tune":{"unfreeze_from":"none","optimizer":{"kind":"adamw"}}}"#,
        br#"{"warm_up":{"schedule":{"kind":"step","step_epochs":3,"factor":0.5}},"seed":9007199254740991}"#,
        br#"{"warm_up":{"schedule":{"kind":"plateau","patience":3}},"class_balance":"sampling","mixup":0.25}"#,
    ];
    full.into_iter().chain(alone.map(<[u8]>::to_vec)).collect()
}
