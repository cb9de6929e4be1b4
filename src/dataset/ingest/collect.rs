//! What has been accepted and rejected so far, and the verdict on the whole.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::IngestProgress;
use super::pipeline::{Accepted, Outcome};
use crate::dataset::content::{Sha, content_sha256, too_little};
use crate::dataset::duplicates::{self, PictureHash};
use crate::dataset::pack::PackWriter;
use crate::dataset::{ClassCount, DatasetError, ImageRecord, IngestFailure, Ingested, Rejected};
use crate::hex::hex;

/// How many rejections an error quotes.
const QUOTED_REJECTIONS: usize = 5;

/// A picture that is in the pack; its class is known by where it is kept.
struct Packed {
    sha256: Sha,
    hash: Option<PictureHash>,
    record: ImageRecord,
}

pub(super) struct Collector {
    pack: PackWriter,
    paths: HashSet<String>,
    /// For each class and content, the path that it was first met at.
    contents: HashMap<(String, Sha), String>,
    classes: BTreeMap<String, Vec<Packed>>,
    rejected: Vec<Rejected>,
    accepted: u64,
    bytes: u64,
}

impl Collector {
    pub(super) fn create(pack: &Path) -> Result<Self, DatasetError> {
        Ok(Self {
            pack: PackWriter::create(pack).map_err(DatasetError::io("creating the pack"))?,
            paths: HashSet::new(),
            contents: HashMap::new(),
            classes: BTreeMap::new(),
            rejected: Vec::new(),
            accepted: 0,
            bytes: 0,
        })
    }

    /// Takes the next outcome in the archive's order.
    pub(super) fn take(&mut self, outcome: Outcome) -> Result<(), DatasetError> {
        match outcome {
            Ok(picture) => self.accept(picture),
            Err(rejected) => {
                self.rejected.push(rejected);
                Ok(())
            }
        }
    }

    fn accept(&mut self, picture: Accepted) -> Result<(), DatasetError> {
        let Accepted { path, class, bytes, sha256, hash, format, width, height } = picture;
        if !self.paths.insert(path.clone()) {
            let reason = "there is an earlier entry of the same path: rename one of them".into();
            self.rejected.push(Rejected { path, reason });
            return Ok(());
        }
        match self.contents.entry((class.clone(), sha256)) {
            Slot::Occupied(first) => {
                let reason = format!("same picture as {}", first.get());
                self.rejected.push(Rejected { path, reason });
                return Ok(());
            }
            Slot::Vacant(slot) => slot.insert(path.clone()),
        };
        let offset = self.pack.append(&bytes).map_err(DatasetError::io("writing the pack"))?;
        let bytes = bytes.len() as u64;
        self.accepted += 1;
        self.bytes += bytes;
        // The class's index isn't known before all classes are, nor who shows the same before all pictures are.
        let (class_number, duplicate_group) = (0, None);
        let sha = hex(&sha256);
        let record =
            ImageRecord { path, class: class_number, sha256: sha, format, width, height, offset, bytes, duplicate_group };
        self.classes.entry(class).or_default().push(Packed { sha256, hash, record });
        Ok(())
    }

    pub(super) fn progress(&self, fraction: f64) -> IngestProgress {
        let rejected = self.rejected.len() as u64;
        IngestProgress { accepted: self.accepted, rejected, bytes: self.bytes, fraction }
    }

    /// Gives up; the unfinished pack goes away with the writer.
    pub(super) fn fail(self, error: DatasetError) -> IngestFailure {
        IngestFailure { error, rejected: self.rejected }
    }

    /// Judges the whole and gives the pack its name.
    pub(super) fn finish(mut self) -> Result<Ingested, IngestFailure> {
        if let Some(error) = self.too_little() {
            return Err(self.fail(error));
        }
        let contents = |(name, pictures): (_, &Vec<Packed>)| (name, pictures.iter().map(|picture| picture.sha256).collect());
        let content_sha256 = content_sha256(self.classes.iter().map(contents));
        if let Err(error) = self.pack.finish() {
            let error = DatasetError::Io { doing: "finishing the pack", source: error };
            return Err(IngestFailure { error, rejected: self.rejected });
        }
        let (mut classes, mut images, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        // There are at most as many classes as entries, which a u32 holds many times over.
        for (index, (name, mut pictures)) in (0u32..).zip(std::mem::take(&mut self.classes)) {
            pictures.sort_by(|a, b| a.record.path.cmp(&b.record.path));
            hashes.extend(pictures.iter().map(|picture| picture.hash));
            images.extend(pictures.into_iter().map(|p| ImageRecord { class: index, ..p.record }));
            classes.push(name);
        }
        let contents: Vec<&str> = images.iter().map(|image| image.sha256.as_str()).collect();
        let groups = duplicates::groups(&contents, &hashes);
        images.iter_mut().zip(groups).for_each(|(image, group)| image.duplicate_group = group);
        Ok(Ingested { classes, images, rejected: self.rejected, content_sha256 })
    }

    fn too_little(&self) -> Option<DatasetError> {
        if self.classes.is_empty() {
            let first = self.rejected.iter().take(QUOTED_REJECTIONS).cloned().collect();
            return Some(DatasetError::NoPictures { first });
        }
        too_little(self.classes.iter().map(|(name, pictures)| ClassCount { name: name.clone(), images: pictures.len() as u64 }))
    }
}
