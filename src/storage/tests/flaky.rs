//! A store in memory that can be told to misbehave.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub struct Flaky {
    pub inner: InMemory,
    /// So many operations fail.
    failures: AtomicUsize,
    /// Answers break, or end, after so many bytes.
    cut: AtomicU64,
    /// How many answers do.
    cuts: AtomicUsize,
    /// Whether these end as if they were whole.
    quietly: bool,
    /// Objects are told to be so much longer than they are.
    longer: u64,
    /// Lets requests for objects in, one for each permit.
    pub gate: Semaphore,
    gets: Mutex<Vec<Option<Range<u64>>>>,
    puts: Mutex<Vec<String>>,
}

impl Default for Flaky {
    fn default() -> Self {
        Self {
            inner: InMemory::new(),
            failures: AtomicUsize::new(0),
            cut: AtomicU64::new(0),
            cuts: AtomicUsize::new(0),
            quietly: false,
            longer: 0,
            gate: Semaphore::new(1000),
            gets: Mutex::default(),
            puts: Mutex::default(),
        }
    }
}

impl Flaky {
    /// One whose broken answers look whole.
    pub fn quiet() -> Self {
        Self { quietly: true, ..Self::default() }
    }

    /// One whose objects are told to be so much longer than they are.
    pub fn longer(longer: u64) -> Self {
        Self { longer, ..Self::default() }
    }

    /// One that lets so many requests for objects in, and no more until it is opened.
    pub fn gated(requests: usize) -> Self {
        Self { gate: Semaphore::new(requests), ..Self::default() }
    }

    pub fn open(&self) {
        self.gate.add_permits(1000);
    }

    /// How many requests for objects were made.
    pub fn asked(&self) -> usize {
        self.gets.lock().unwrap().len()
    }

    pub fn fail(&self, times: usize) {
        self.failures.store(times, Ordering::Relaxed);
    }

    /// Breaks so many answers after so many bytes each.
    pub fn cut(&self, times: usize, bytes: u64) {
        self.cuts.store(times, Ordering::Relaxed);
        self.cut.store(bytes, Ordering::Relaxed);
    }

    /// The ranges that were asked for.
    pub fn gets(&self) -> Vec<Option<Range<u64>>> {
        std::mem::take(&mut self.gets.lock().unwrap())
    }

    /// The objects that were put.
    pub fn puts(&self) -> Vec<String> {
        std::mem::take(&mut self.puts.lock().unwrap())
    }

    fn may_fail(&self) -> Result<()> {
        match take(&self.failures) {
            true => Err(trouble()),
            false => Ok(()),
        }
    }
}

fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn trouble() -> Error {
    Error::Generic { store: "Flaky", source: "trouble".into() }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.may_fail()?;
        self.puts.lock().unwrap().push(location.to_string());
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.may_fail()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.lock().unwrap().push(match &options.range {
            Some(GetRange::Bounded(range)) => Some(range.clone()),
            _ => None,
        });
        self.gate.acquire().await.unwrap().forget();
        self.may_fail()?;
        // As a store that doesn't heed conditions.
        let mut answer = self.inner.get_opts(location, GetOptions { if_match: None, ..options }).await?;
        answer.meta.size += self.longer;
        if take(&self.cuts) {
            let (range, meta, attributes) = (answer.range.clone(), answer.meta.clone(), answer.attributes.clone());
            let extensions = answer.extensions.clone();
            let mut bytes = answer.bytes().await?;
            bytes.truncate(self.cut.load(Ordering::Relaxed) as usize);
            let end = (!self.quietly).then(|| Err(trouble()));
            let payload = GetResultPayload::Stream(futures_util::stream::iter([Ok(bytes)].into_iter().chain(end)).boxed());
            return Ok(GetResult { payload, meta, range, attributes, extensions });
        }
        Ok(answer)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
