//! From evidence to what people are told.

use std::collections::BTreeMap;

use super::suspects::suspects;
use super::{Evidence, Finding, FindingKind, FoundImage, Neighbour};
use crate::dataset::ImageRecord;

/// Pictures that are as like as this show the same, cut or mirrored: see [`same`].
const SAME: f32 = 0.97;
/// Of two pictures that show the same, each is far more like the other than like the next one: by this share of what is missing to 1.
const STANDS_OUT: f32 = 0.5;
/// A class of fewer pictures than this has few to learn from.
const FEW: usize = 20;
/// Two classes are alike if this share of their pictures is taken for the other.
const ALIKE: f64 = 0.1;
/// Side in pixels of what the default recipe's network sees: smaller pictures are blown up.
const TINY: u32 = 160;
/// A picture is unlike all others if its distance to its neighbours is so many deviations above the median.
const DEVIATIONS: f32 = 5.0;
/// What a deviation of a normal distribution is in median absolute deviations.
const NORMAL: f32 = 1.4826;
/// Examples of a finding about classes.
const EXAMPLES: usize = 12;

/// A data set as findings see it.
struct Looked<'a> {
    classes: &'a [String],
    images: &'a [ImageRecord],
}

impl Looked<'_> {
    fn found(&self, image: usize) -> FoundImage {
        let record = &self.images[image];
        FoundImage { image: image as u64, path: record.path.clone(), label: self.class(record.class).to_owned() }
    }

    fn class(&self, class: u32) -> &str {
        &self.classes[class as usize]
    }

    fn finding(&self, kind: FindingKind, score: f64, images: impl IntoIterator<Item = usize>, message: String) -> Finding {
        let images = images.into_iter().map(|image| self.found(image)).collect();
        Finding { kind, score, message, images, classes: Vec::new(), suggested: None }
    }
}

/// What there is to look at in a data set, in order of kind, the surest first. `evidence` has an entry for each of `images`.
#[must_use]
pub fn findings(classes: &[String], images: &[ImageRecord], evidence: &Evidence) -> Vec<Finding> {
    let data = Looked { classes, images };
    let labels: Vec<u32> = images.iter().map(|image| image.class).collect();
    let groups = groups(images, &evidence.nearest);
    let mut findings = duplicates(&data, &groups);
    for suspect in suspects(&labels, classes.len(), &evidence.judgements) {
        let suggested = data.class(suspect.suggested).to_owned();
        let label = data.class(labels[suspect.image]);
        let message = format!("labelled {label}, looks like {suggested}: move it there, or leave it out, if that is so");
        let finding = data.finding(FindingKind::LabelSuspect, suspect.lack, [suspect.image], message);
        findings.push(Finding { suggested: Some(suggested), ..finding });
    }
    findings.extend(outliers(&data, &evidence.nearest));
    findings.extend(alike(&data, &labels, evidence));
    findings.extend(small(&data, &labels));
    findings.extend(tiny(&data));
    findings.sort_by(|a, b| a.kind.cmp(&b.kind).then(b.score.total_cmp(&a.score)));
    findings
}

/// Pictures that show the same, by their outlines or by what the network sees: groups of two or more, each in order.
fn groups(images: &[ImageRecord], nearest: &[Vec<Neighbour>]) -> Vec<Vec<usize>> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (image, record) in images.iter().enumerate() {
        pairs.extend(record.duplicate_group.map(|first| (first as usize, image)));
        pairs.extend(same(image, nearest).map(|other| (image, other)));
    }
    crate::dataset::duplicates::joined(images.len(), pairs)
}

/// The neighbour of which a picture is a copy that its outlines don't tell, such as a part of it or its mirror image. Near isn't
/// enough: flowers in a meadow are. The two must be each other's nearest, and stand out.
fn same(image: usize, nearest: &[Vec<Neighbour>]) -> Option<usize> {
    let first = nearest[image].first().filter(|first| first.similarity >= SAME)?;
    let other = first.image as usize;
    let stands_out = |neighbours: &[Neighbour]| {
        let next = neighbours.get(1).map_or(0.0, |next| next.similarity);
        1.0 - first.similarity <= STANDS_OUT * (1.0 - next)
    };
    let mutual = nearest[other].first().is_some_and(|back| back.image as usize == image);
    (mutual && stands_out(&nearest[image]) && stands_out(&nearest[other])).then_some(other)
}

fn duplicates(data: &Looked<'_>, groups: &[Vec<usize>]) -> Vec<Finding> {
    let finding = |group: &Vec<usize>| {
        let mut classes: Vec<u32> = group.iter().map(|&image| data.images[image].class).collect();
        classes.dedup();
        let by_outlines = group.iter().all(|&image| data.images[image].duplicate_group.is_some());
        let score = if by_outlines { 1.0 } else { 0.5 };
        if classes.len() == 1 {
            let message = format!("{} pictures show the same: leave out all but one", group.len());
            return data.finding(FindingKind::Duplicates, score, group.iter().copied(), message);
        }
        let names: Vec<String> = classes.iter().map(|&class| data.class(class).to_owned()).collect();
        let message = format!("the same picture is labelled {}: leave out those that are wrong", names.join(" and "));
        let finding = data.finding(FindingKind::ConflictingDuplicates, score, group.iter().copied(), message);
        Finding { classes: names, ..finding }
    };
    groups.iter().map(finding).collect()
}

/// Pictures far from all others: mean distance to the nearest ones, against the median picture's.
fn outliers(data: &Looked<'_>, nearest: &[Vec<Neighbour>]) -> Vec<Finding> {
    let distance = |neighbours: &Vec<Neighbour>| {
        let sum: f32 = neighbours.iter().map(|neighbour| 1.0 - neighbour.similarity).sum();
        sum / neighbours.len().max(1) as f32
    };
    let distances: Vec<f32> = nearest.iter().map(distance).collect();
    let middle = median(distances.clone());
    let deviation = NORMAL * median(distances.iter().map(|distance| (distance - middle).abs()).collect());
    let far =
        distances.iter().enumerate().filter(|(_, distance)| deviation > 0.0 && **distance > middle + DEVIATIONS * deviation);
    far.map(|(image, distance)| {
        let message = "unlike all other pictures: leave it out if it doesn't belong here".to_owned();
        // 0 at the median, towards 1 without end.
        let score = f64::from(1.0 - middle / distance);
        data.finding(FindingKind::Outlier, score, [image], message)
    })
    .collect()
}

fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Pairs of classes that are taken for each other.
fn alike(data: &Looked<'_>, labels: &[u32], evidence: &Evidence) -> Vec<Finding> {
    let mut taken: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (image, judgement) in evidence.judgements.iter().enumerate() {
        if let Some((other, _)) = judgement.others.first().copied().filter(|(_, p)| *p > judgement.own) {
            taken.entry((labels[image].min(other), labels[image].max(other))).or_default().push(image);
        }
    }
    let sizes = sizes(data, labels);
    let finding = |((one, other), images): ((u32, u32), Vec<usize>)| {
        let both = sizes[one as usize] + sizes[other as usize];
        let share = images.len() as f64 / both.max(1) as f64;
        let names = [one, other].map(|class| data.class(class).to_owned());
        let message = format!(
            "{:.0} % of the pictures of {} and {} are taken for the other: give them more pictures, or make them one class",
            share * 100.0,
            names[0],
            names[1]
        );
        let finding = data.finding(FindingKind::AlikeClasses, share, images.into_iter().take(EXAMPLES), message);
        (share >= ALIKE).then_some(Finding { classes: names.to_vec(), ..finding })
    };
    taken.into_iter().filter_map(finding).collect()
}

fn small(data: &Looked<'_>, labels: &[u32]) -> Vec<Finding> {
    let few = sizes(data, labels).into_iter().enumerate().filter(|(_, images)| *images < FEW);
    few.map(|(class, images)| {
        let name = data.classes[class].clone();
        let message = format!("{name} has {images} pictures: {FEW} or more are needed to learn it well");
        let examples = labels.iter().enumerate().filter(|(_, label)| **label as usize == class).map(|(image, _)| image);
        let score = 1.0 - images as f64 / FEW as f64;
        let finding = data.finding(FindingKind::SmallClass, score, examples.take(EXAMPLES), message);
        Finding { classes: vec![name], ..finding }
    })
    .collect()
}

fn tiny(data: &Looked<'_>) -> Vec<Finding> {
    let shorter = |record: &ImageRecord| record.width.min(record.height);
    let tiny = data.images.iter().enumerate().filter(|(_, record)| shorter(record) < TINY);
    tiny.map(|(image, record)| {
        let message = format!("{} × {} pixels: send a larger one if there is one", record.width, record.height);
        let score = 1.0 - f64::from(shorter(record)) / f64::from(TINY);
        data.finding(FindingKind::TinyPicture, score, [image], message)
    })
    .collect()
}

fn sizes(data: &Looked<'_>, labels: &[u32]) -> Vec<usize> {
    let mut sizes = vec![0; data.classes.len()];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    sizes
}
