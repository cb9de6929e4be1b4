//! Sets of pictures that are too large for one answer: an archive, or a form of any number of parts. Each picture's line goes
//! out as soon as it and those before it are classified, so memory holds a window of pictures, however many there are.

mod line;
mod source;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::answer::{AnswerForm, Answerer, PicturePrediction};
use super::pictures::media_type;
use super::reference;
use crate::api::artifacts::Artifact;
use crate::api::extract::accepted;
use crate::api::{ApiError, AppState};
use crate::inference::{Call, Input, Session};
use crate::store::ModelVersion;
use line::{LineError, PictureLine, Tally};
use source::{Item, Source};

pub(super) use line::Line;

/// Lines of JSON.
const NDJSON: &str = "application/x-ndjson";

/// How a large set is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Archive,
    Form,
}

impl Kind {
    /// None for a request that is answered at once.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match media_type(headers).as_str() {
            "application/zip" | "application/x-tar" | "application/gzip" | "application/x-gzip" | "application/zstd" => {
                Some(Self::Archive)
            }
            "multipart/form-data" if accepted(headers, &["application/json", NDJSON]) == NDJSON => Some(Self::Form),
            _ => None,
        }
    }
}

/// Takes the whole set to disk, then answers line by line. The answer doesn't begin earlier, as many clients read nothing
/// before they have sent all.
pub(super) async fn answer(
    state: &AppState,
    kind: Kind,
    version: ModelVersion,
    form: AnswerForm,
    request: Request,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let call = form.call(request.headers(), &state.settings)?;
    let (model, artifact) = reference(state, &version).await?;
    // A model that can't be used is said before the pictures have travelled, and once.
    state.predictor.manifest(&model).await?;
    let source = Source::receive(kind, request, &state.settings).await?;
    let asker = Arc::new(Asker {
        // Only now that there is something to do: a slow upload takes nobody's place.
        session: state.predictor.session(&model).await?,
        call,
        patience: call.deadline.saturating_duration_since(began),
        form,
        span: Span::current(),
        _artifact: artifact,
    });
    let window = state.predictor.window();
    let total = source.total();
    let answers = source.read(state.settings.dataset_limits()).map(move |item| {
        let line = item.map(|item| Arc::clone(&asker).spawn(item));
        async move { line?.await.map_err(ApiError::internal)? }
    });
    let model = Answerer { name: version.model, version: version.version };
    let lines = Tally::new(total, model).lines(answers.buffered(window));
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

/// Has pictures classified, each for itself.
struct Asker {
    session: Session,
    /// What is asked of each picture, but for the deadline.
    call: Call,
    /// How long a picture's answer is waited for, from when it is asked.
    patience: Duration,
    form: AnswerForm,
    /// The request's, so that the log says which one it was.
    span: Span,
    /// Held: the model may have to make room for others in memory and come back.
    _artifact: Artifact,
}

impl Asker {
    /// A task of its own: a client that is slow to read doesn't keep the window's other pictures from being classified in time.
    /// It ends when the answer is no longer wanted.
    fn spawn(self: Arc<Self>, item: Item) -> AbortOnDropHandle<Result<Line, ApiError>> {
        let span = self.span.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { self.line(item).await }.instrument(span)))
    }

    /// A picture's line. Only an answer that can't be written is an error.
    async fn line(&self, Item { path, content }: Item) -> Result<Line, ApiError> {
        let bytes = match content {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Line::failed(path, LineError::unusable(reason))),
        };
        // Many pictures wait for room as long as it takes; each is waited for from when it has some.
        let call = || Call { deadline: Instant::now() + self.patience, ..self.call };
        match self.session.one_of_many(Input::Encoded(bytes), call).await {
            Ok(classified) => {
                let prediction = PicturePrediction::of(&classified, &self.form)?;
                Ok(Line::Picture(PictureLine { path, prediction }))
            }
            Err(error) => Ok(Line::failed(path, ApiError::from(error).into())),
        }
    }
}
