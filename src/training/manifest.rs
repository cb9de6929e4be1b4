//! From what training came to, to the manifest that says so.

use std::collections::BTreeMap;

use super::{Plan, Trained, TrainingData};
use crate::artifact::{BackboneRef, DatasetRef, FORMAT, Manifest};
use crate::vision::device;
use crate::vision::int8::Profile;

/// Whose weights the backbone's are.
const ATTRIBUTION: &str = "VGG16, Visual Geometry Group, University of Oxford (Simonyan and Zisserman 2014), CC BY 4.0";

/// Under which names a run is published.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The model.
    pub model: String,
    /// Its version; 0 without a server.
    pub version: u64,
    /// The data set's id; empty without a server.
    pub dataset_id: String,
    /// The data set's name.
    pub dataset_name: String,
}

impl Trained {
    /// The manifest of this run's artifact, but for the files' checksums, which writing them fills in.
    #[must_use]
    pub fn manifest(&self, plan: &Plan<'_>, data: &TrainingData, identity: Identity) -> Manifest {
        let own = [("topgraft", env!("CARGO_PKG_VERSION"))];
        let libraries = own.into_iter().chain(device::libraries());
        Manifest {
            format: FORMAT,
            model: identity.model,
            version: identity.version,
            created_at: chrono::Utc::now(),
            classes: data.classes.clone(),
            backbone: BackboneRef {
                id: plan.body.backbone_id(),
                sha256: plan.body.sha256(),
                scales: Profile::of(plan.body).filter(|_| self.precision.is_int8()).map(|profile| profile.id().to_owned()),
                attribution: ATTRIBUTION.to_owned(),
            },
            preprocessing: plan.recipe.preprocessing(),
            precision: self.precision,
            unfreeze_from: self.unfreeze_from,
            temperature: self.report.calibration.as_ref().map_or(1.0, |calibration| calibration.temperature),
            recipe: plan.recipe,
            dataset: DatasetRef {
                id: identity.dataset_id,
                name: identity.dataset_name,
                content_sha256: data.content_sha256.clone(),
            },
            libraries: libraries.map(|(name, version)| (name.to_owned(), version.to_owned())).collect::<BTreeMap<_, _>>(),
            files: BTreeMap::new(),
        }
    }
}
