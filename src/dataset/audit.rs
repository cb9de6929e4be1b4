//! What is probably wrong with a data set, judged from what a network sees in its pictures. Pure: `training::audit` has the evidence.
//!
//! Nothing here is changed or left out of anything: findings are for people, who look at the pictures and decide.

mod findings;
mod suspects;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use findings::findings;

/// What may be wrong. In the order in which findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Pictures of several classes show the same: all labels but one are wrong, or the classes aren't exclusive.
    ConflictingDuplicates,
    /// A picture's label is probably wrong.
    LabelSuspect,
    /// Pictures of a class show the same: they count as one.
    Duplicates,
    /// A picture is unlike all others.
    Outlier,
    /// Two classes are taken for each other often.
    AlikeClasses,
    /// A class has few pictures to learn from.
    SmallClass,
    /// A picture has fewer pixels than the network sees.
    TinyPicture,
}

impl FindingKind {
    /// Every kind, in order.
    pub const ALL: [Self; 7] = [
        Self::ConflictingDuplicates,
        Self::LabelSuspect,
        Self::Duplicates,
        Self::Outlier,
        Self::AlikeClasses,
        Self::SmallClass,
        Self::TinyPicture,
    ];

    /// Its name in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConflictingDuplicates => "conflicting_duplicates",
            Self::LabelSuspect => "label_suspect",
            Self::Duplicates => "duplicates",
            Self::Outlier => "outlier",
            Self::AlikeClasses => "alike_classes",
            Self::SmallClass => "small_class",
            Self::TinyPicture => "tiny_picture",
        }
    }
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What may be wrong.
    pub kind: FindingKind,
    /// How sure that is, 0 to 1, comparable within a kind.
    pub score: f64,
    /// In words, with what to do about it.
    pub message: String,
    /// The pictures that it is about; of classes, some examples.
    pub images: Vec<FoundImage>,
    /// The classes that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The class that the picture probably belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested: Option<String>,
}

/// A picture that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundImage {
    /// Its number.
    pub image: u64,
    /// Where it was in the archive.
    pub path: String,
    /// Its class.
    pub label: String,
}

/// What the network, having learnt from other pictures, makes of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Probability of its label.
    pub own: f32,
    /// The most probable other classes, and their probabilities, most probable first.
    pub others: Vec<(u32, f32)>,
}

/// Another picture, and how like it is: the cosine between what the network sees in both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The other picture's number.
    pub image: u32,
    /// Up to 1, which is the same.
    pub similarity: f32,
}

/// What a network saw in a data set's pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Of each picture, what heads that never saw it make of it.
    pub judgements: Vec<Judgement>,
    /// Of each picture, those that are most like it, most like first; without itself.
    pub nearest: Vec<Vec<Neighbour>>,
}

/// What an audit came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditSummary {
    /// Share of the pictures whose label is what heads that never saw them find most probable. Simple heads on frozen features: a
    /// model that is trained will know better.
    pub agreement: f64,
    /// How many findings there are of each kind that occurs.
    pub findings: std::collections::BTreeMap<FindingKind, u64>,
}

impl AuditSummary {
    /// Counts up.
    #[must_use]
    pub fn of(evidence: &Evidence, findings: &[Finding]) -> Self {
        let agrees = |judgement: &&Judgement| judgement.others.first().is_none_or(|other| judgement.own >= other.1);
        let agreeing = evidence.judgements.iter().filter(agrees).count();
        let mut counts = std::collections::BTreeMap::new();
        findings.iter().for_each(|finding| *counts.entry(finding.kind).or_default() += 1);
        Self { agreement: agreeing as f64 / evidence.judgements.len().max(1) as f64, findings: counts }
    }
}
