//! A large set on disk, and its pictures one after another.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{DefaultBodyLimit, Request};
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Kind;
use crate::api::ApiError;
use crate::api::datasets::received::{Received, Receiving, refuse_longer};
use crate::api::parts::Form;
use crate::api::predict::pictures::no_picture;
use crate::config::Settings;
use crate::dataset::archive::{self, Entry};
use crate::dataset::{DatasetError, DatasetLimits};

/// An entry of a set.
pub(super) struct Item {
    pub path: String,
    /// The encoded picture, or why it can't be had.
    pub content: Result<Bytes, String>,
}

/// A set that was received whole. Its file goes away with it.
pub(super) struct Source {
    received: Received,
    /// Those of a form, which lie one after another in the file; none for an archive.
    parts: Option<Vec<Part>>,
}

/// A part of a form.
struct Part {
    path: String,
    bytes: u64,
}

impl Source {
    /// Takes a request's body to disk. What shows of a broken archive without reading it all is said at once.
    pub async fn receive(kind: Kind, mut request: Request, settings: &Arc<Settings>) -> Result<Self, ApiError> {
        let what = match kind {
            Kind::Archive => "the archive",
            Kind::Form => "the form",
        };
        refuse_longer(request.headers(), what, settings.max_upload_bytes, settings).await?;
        let path = settings.uploads_dir().join(format!("{}.part", Uuid::now_v7()));
        let mut receiving = Receiving::begin(path, what, settings.max_upload_bytes, settings).await?;
        if kind == Kind::Form {
            // What comes is counted as it is written.
            DefaultBodyLimit::disable().apply(&mut request);
            let form = Form::of(request).await?;
            let parts = Some(write_form(form, &mut receiving, settings).await?);
            return Ok(Self { received: receiving.end().await?, parts });
        }
        receiving.write_body(request.into_body()).await?;
        let received = receiving.end().await?;
        let (path, limits) = (received.path().to_owned(), settings.dataset_limits());
        tokio::task::spawn_blocking(move || archive::check(&path, &limits)).await.map_err(ApiError::internal)??;
        Ok(Self { received, parts: None })
    }

    /// How many pictures there are, if that shows before they are read.
    pub fn total(&self) -> Option<u64> {
        self.parts.as_ref().map(|parts| parts.len() as u64)
    }

    /// The entries, read on a thread of its own, one ahead of who takes them. It ends soon after the stream is dropped.
    pub fn read(self, limits: DatasetLimits) -> impl Stream<Item = Result<Item, ApiError>> + Send + 'static {
        let (sender, items) = mpsc::channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = tokio::task::spawn_blocking(move || self.send(&limits, &stopped, &sender));
        let reading = Reading { items, thread: Some(thread), stop };
        futures_util::stream::unfold(reading, |mut reading| async { Some((reading.next().await?, reading)) })
    }

    /// Sends every entry, for as long as somebody takes them.
    fn send(self, limits: &DatasetLimits, stop: &AtomicBool, items: &mpsc::Sender<Item>) -> Result<(), DatasetError> {
        let send = |item| match items.blocking_send(item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let Some(parts) = self.parts else {
            return archive::read_pictures(self.received.path(), limits, stop, &mut |entry, _| send(entry.into()));
        };
        let mut file = File::open(self.received.path()).map_err(DatasetError::io("opening the form"))?;
        for Part { path, bytes } in parts {
            let content = next_part(&mut file, bytes, limits.picture.max_bytes)?;
            if send(Item { path, content }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl From<Entry> for Item {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::File { path, bytes, .. } => Self { path, content: Ok(bytes.into()) },
            Entry::Rejected(rejected) => Self { path: rejected.path, content: Err(rejected.reason) },
        }
    }
}

/// Entries on their way from the thread that reads them.
struct Reading {
    items: mpsc::Receiver<Item>,
    /// Taken when it has ended.
    thread: Option<JoinHandle<Result<(), DatasetError>>>,
    stop: Arc<AtomicBool>,
}

impl Reading {
    /// The next entry; after the last, why there are no more, if that isn't the set's end.
    async fn next(&mut self) -> Option<Result<Item, ApiError>> {
        if let Some(item) = self.items.recv().await {
            return Some(Ok(item));
        }
        match self.thread.take()?.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error.into())),
            Err(panic) => Some(Err(ApiError::internal(panic))),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Writes a form's parts one after another.
async fn write_form(mut form: Form, receiving: &mut Receiving, settings: &Settings) -> Result<Vec<Part>, ApiError> {
    let (limit, longest) = (settings.max_entries, settings.max_path_bytes);
    let mut parts = Vec::new();
    while let Some(mut field) = form.next().await? {
        if parts.len() as u64 == limit {
            return Err(DatasetError::TooManyEntries { limit }.into());
        }
        let name = field.file_name().filter(|name| !name.is_empty());
        let path = name.map_or_else(|| format!("images[{}]", parts.len()), |name| cut(name, longest));
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await? {
            bytes += chunk.len() as u64;
            receiving.write(&chunk).await?;
        }
        parts.push(Part { path, bytes });
    }
    if parts.is_empty() { Err(no_picture()) } else { Ok(parts) }
}

/// `name` cut to `longest` bytes at a character's boundary.
fn cut(name: &str, longest: usize) -> String {
    name[..name.floor_char_boundary(longest)].to_owned()
}

/// The next `length` bytes of a form's file as a picture.
fn next_part(file: &mut File, length: u64, most: u64) -> Result<Result<Bytes, String>, DatasetError> {
    let mut part = file.take(length);
    if length > most {
        std::io::copy(&mut part, &mut std::io::sink()).map_err(DatasetError::io("reading the form"))?;
        return Ok(Err(format!("it has more than {most} bytes: save the picture smaller or as JPEG")));
    }
    let mut bytes = Vec::new();
    part.read_to_end(&mut bytes).map_err(DatasetError::io("reading the form"))?;
    Ok(Ok(bytes.into()))
}

#[cfg(test)]
mod tests;
