//! What is in a data set: classes, pictures, rejections.

use uuid::Uuid;

use crate::dataset::{ImageRecord, Ingested, Rejected};
use crate::store::rows::{Cells, signed};
use crate::store::sql::{Row, insert_rows, query};
use crate::store::{Missing, Page, Store, StoreError, Tx};
use crate::vision::picture::PictureFormat;

/// A picture of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its number: its place in the order of class and path, from 0.
    pub number: u64,
    /// Its class's name.
    pub class: String,
    /// What is known of it, and where it lies in the pack.
    pub record: ImageRecord,
}

/// An entry that wasn't taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its place among the rejections, from 0.
    pub number: u64,
    /// What and why.
    pub rejected: Rejected,
}

fn record(row: &Row) -> Result<ImageRecord, StoreError> {
    let row = Cells(row);
    Ok(ImageRecord {
        path: row.get("path")?,
        class: row.unsigned("class")?,
        sha256: row.get("sha256")?,
        format: format(row.get("format")?)?,
        width: row.unsigned("width")?,
        height: row.unsigned("height")?,
        offset: row.unsigned("pack_offset")?,
        bytes: row.unsigned("bytes")?,
        duplicate_group: row.unsigned_or_none("duplicate_group")?,
    })
}

fn format(name: &str) -> Result<PictureFormat, StoreError> {
    PictureFormat::from_name(name).ok_or_else(|| StoreError::damaged("format", name))
}

fn image(row: &Row) -> Result<Image, StoreError> {
    let cells = Cells(row);
    Ok(Image { number: cells.unsigned("image")?, class: cells.get("class_name")?, record: record(row)? })
}

fn rejection(row: &Row) -> Result<Rejection, StoreError> {
    let row = Cells(row);
    let rejected = Rejected { path: row.get("path")?, reason: row.get("reason")? };
    Ok(Rejection { number: row.unsigned("rejection")?, rejected })
}

/// The first number after `after`.
fn from(after: Option<u64>) -> i64 {
    after.map_or(0, |after| signed(after).saturating_add(1))
}

impl Store {
    /// A data set's pictures in order of their numbers, from after `after`; those of one class if it is named.
    ///
    /// # Errors
    /// [`Missing::Class`].
    pub async fn images(
        &self,
        dataset: Uuid,
        class: Option<&str>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Page<Image>, StoreError> {
        // No class has a number below 0, and none can be numbered above what a u32 holds.
        let (first, last) = match class {
            None => (0, i64::from(u32::MAX)),
            Some(name) => {
                let number = self.class(dataset, name).await?;
                (number, number)
            }
        };
        let rows = query(
            "select i.*, c.name as class_name from dataset_images i
             join dataset_classes c on c.dataset_id = i.dataset_id and c.class = i.class
             where i.dataset_id = $1 and i.image >= $2 and i.class between $3 and $4 order by i.image limit $5",
        )
        .bind(dataset.to_string())
        .bind(from(after))
        .bind(first)
        .bind(last)
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.read)
        .await?;
        Ok(Page::of(rows.iter().map(image).collect::<Result<_, _>>()?, limit))
    }

    async fn class(&self, dataset: Uuid, name: &str) -> Result<i64, StoreError> {
        let row = query("select class from dataset_classes where dataset_id = $1 and name = $2")
            .bind(dataset.to_string())
            .bind(name)
            .fetch_optional(&self.read)
            .await?
            .ok_or(Missing::Class)?;
        Cells(&row).get("class")
    }

    /// One picture.
    ///
    /// # Errors
    /// [`Missing::Image`].
    pub async fn image(&self, dataset: Uuid, number: u64) -> Result<Image, StoreError> {
        let row = query(
            "select i.*, c.name as class_name from dataset_images i
             join dataset_classes c on c.dataset_id = i.dataset_id and c.class = i.class
             where i.dataset_id = $1 and i.image = $2",
        )
        .bind(dataset.to_string())
        .bind(signed(number))
        .fetch_optional(&self.read)
        .await?
        .ok_or(Missing::Image)?;
        image(&row)
    }

    /// Every picture of a data set in order of number, for training.
    ///
    /// # Errors
    /// The database's own.
    pub async fn all_images(&self, dataset: Uuid) -> Result<Vec<ImageRecord>, StoreError> {
        let rows = query("select * from dataset_images where dataset_id = $1 order by image")
            .bind(dataset.to_string())
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(record).collect()
    }

    /// A data set's rejections in the archive's order, from after `after`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn rejections(&self, dataset: Uuid, after: Option<u64>, limit: u32) -> Result<Page<Rejection>, StoreError> {
        let rows =
            query("select * from dataset_rejections where dataset_id = $1 and rejection >= $2 order by rejection limit $3")
                .bind(dataset.to_string())
                .bind(from(after))
                .bind(i64::from(limit) + 1)
                .fetch_all(&self.read)
                .await?;
        Ok(Page::of(rows.iter().map(rejection).collect::<Result<_, _>>()?, limit))
    }
}

pub(super) async fn insert_classes(tx: &mut Tx, dataset: Uuid, ingested: &Ingested) -> Result<(), StoreError> {
    let mut counts = vec![0i64; ingested.classes.len()];
    for image in &ingested.images {
        let count = counts.get_mut(image.class as usize);
        *count.ok_or_else(|| StoreError::damaged("class", format!("{} has class {}", image.path, image.class)))? += 1;
    }
    for (number, (name, count)) in ingested.classes.iter().zip(counts).enumerate() {
        query("insert into dataset_classes (dataset_id, class, name, images) values ($1, $2, $3, $4)")
            .bind(dataset.to_string())
            .bind(signed(number as u64))
            .bind(name)
            .bind(count)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn insert_images(tx: &mut Tx, dataset: Uuid, images: &[ImageRecord]) -> Result<(), StoreError> {
    let dataset = dataset.to_string();
    let row = |(number, image): (u64, &ImageRecord)| {
        [
            (&dataset).into(),
            signed(number).into(),
            (&image.path).into(),
            i64::from(image.class).into(),
            (&image.sha256).into(),
            image.format.as_str().into(),
            i64::from(image.width).into(),
            i64::from(image.height).into(),
            signed(image.offset).into(),
            signed(image.bytes).into(),
            image.duplicate_group.map(i64::from).into(),
        ]
    };
    let rows: Vec<_> = (0..).zip(images).map(row).collect();
    let into = "insert into dataset_images (dataset_id, image, path, class, sha256, format, width, height, pack_offset, bytes,
                duplicate_group)";
    insert_rows(tx, into, &rows).await
}

pub(super) async fn insert_rejections(tx: &mut Tx, dataset: Uuid, rejected: &[Rejected]) -> Result<(), StoreError> {
    let dataset = dataset.to_string();
    let row = |(number, rejected): (u64, &Rejected)| {
        [(&dataset).into(), signed(number).into(), (&rejected.path).into(), (&rejected.reason).into()]
    };
    let rows: Vec<_> = (0..).zip(rejected).map(row).collect();
    insert_rows(tx, "insert into dataset_rejections (dataset_id, rejection, path, reason)", &rows).await
}
