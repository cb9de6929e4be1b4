//! The names VGG16's tensors go by: Keras's (ours) and torchvision's, which timm shares.

use std::collections::HashMap;

use super::PixelConvention;
use super::collect::Part;
use crate::vision::layers::ConvSpec;

/// Wrappers that training code puts before a key, alone or nested (`state_dict.module.features.0.weight`).
const WRAPPERS: [&str; 8] =
    ["module.", "model.", "backbone.", "state_dict.", "model_state_dict.", "net.", "encoder.", "_orig_mod."];

/// A layer's keys in a file: weight, then bias.
pub(super) type Keys = [Option<String>; 2];

/// Finds each layer's keys among a file's flat names, by our naming or by torchvision's, whichever fits more, and says
/// what pixels a network with such names was trained on.
pub(super) fn locate<'a>(specs: &[ConvSpec], keys: impl Iterator<Item = &'a str>) -> (Vec<Keys>, PixelConvention) {
    let mut by_bare_name: HashMap<&str, &str> = HashMap::new();
    for key in keys {
        let kept = by_bare_name.entry(strip_wrappers(key)).or_insert(key);
        // one tensor under several wrappers: the shortest name is the plain network, and the choice must not depend on
        // a hash map's order
        if (key.len(), key) < (kept.len(), *kept) {
            *kept = key;
        }
    }
    let find = |name: String| by_bare_name.get(name.as_str()).map(|key| (*key).to_owned());
    let ours: Vec<Keys> = specs.iter().map(|spec| Part::BOTH.map(|part| find(part.name(spec)))).collect();
    let torch: Vec<Keys> = torch_indices(specs).map(|i| Part::BOTH.map(|part| find(format!("features.{i}.{part}")))).collect();
    let count = |keys: &[Keys]| keys.iter().flatten().flatten().count();
    if count(&torch) > count(&ours) { (torch, PixelConvention::TorchRgb) } else { (ours, PixelConvention::CaffeBgr) }
}

fn strip_wrappers(mut key: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| key.strip_prefix(wrapper)) {
        key = rest;
    }
    key
}

/// The convolutions' places in torchvision's `features`, where ReLUs and poolings count too: 0, 2, 5, 7, 10, … 28.
fn torch_indices(specs: &[ConvSpec]) -> impl Iterator<Item = usize> {
    specs.iter().scan(0, |next, spec| {
        let index = *next;
        *next += if spec.pooled { 3 } else { 2 };
        Some(index)
    })
}

/// A name like `block3_conv4` among `names` that the table doesn't have. VGG19 has every layer of VGG16 by name and by
/// shape, so an extra one is the only thing that tells them apart.
pub(super) fn foreign_layer<'a>(specs: &[ConvSpec], mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.find_map(|name| {
        let layer = keras_layer(name)?;
        specs.iter().all(|spec| spec.name != layer).then_some(layer)
    })
}

/// The first `blockB_convC` inside a name, whatever surrounds it.
pub(super) fn keras_layer(name: &str) -> Option<&str> {
    name.match_indices("block").find_map(|(start, _)| {
        let candidate = &name[start..];
        let block = digits(&candidate["block".len()..])?;
        let middle = candidate["block".len() + block..].strip_prefix("_conv")?;
        let conv = digits(middle)?;
        Some(&candidate[.."block".len() + block + "_conv".len() + conv])
    })
}

/// How many ASCII digits `text` starts with, if any.
fn digits(text: &str) -> Option<usize> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::layers::CONVS;

    #[test]
    fn torchvision_indices_are_the_published_ones() {
        let indices: Vec<_> = torch_indices(&CONVS).collect();
        assert_eq!(indices, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
    }

    #[test]
    fn wrapped_torch_keys_are_found() {
        let keys = ["state_dict.module.features.0.weight", "state_dict.module.features.0.bias", "classifier.0.weight"];
        let (found, convention) = locate(&CONVS, keys.into_iter());
        assert_eq!(found[0], [Some(keys[0].to_owned()), Some(keys[1].to_owned())]);
        assert_eq!(found[1], [None, None]);
        assert_eq!(convention, PixelConvention::TorchRgb);
    }

    #[test]
    fn the_shortest_of_two_keys_wins_in_any_order() {
        let keys = ["model.features.0.weight", "features.0.weight"];
        for keys in [keys, [keys[1], keys[0]]] {
            assert_eq!(locate(&CONVS, keys.into_iter()).0[0][0].as_deref(), Some("features.0.weight"));
        }
    }

    #[test]
    fn keras_layers_are_found_whole() {
        assert_eq!(keras_layer("functional_1/block1_conv1_1/Squeeze:0"), Some("block1_conv1"));
        assert_eq!(keras_layer("block1_conv12/kernel"), Some("block1_conv12"));
        assert_eq!(keras_layer("block_block2_conv3"), Some("block2_conv3"));
        assert_eq!(keras_layer("block5_pool"), None);
        assert_eq!(foreign_layer(&CONVS, ["block1_conv1", "block3_conv4.bias"].into_iter()), Some("block3_conv4"));
        assert_eq!(foreign_layer(&CONVS, ["block1_conv1", "fc1"].into_iter()), None);
    }
}
