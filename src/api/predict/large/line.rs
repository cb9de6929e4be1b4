//! The lines of an answer, and how they follow one another.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::api::predict::answer::{Answerer, PicturePrediction};

/// Pictures between two lines that say how far it has come.
const PROGRESS_EVERY: u64 = 100;

/// A line of an answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api::predict) enum Line {
    Picture(PictureLine),
    Failed(FailedLine),
    Progress(ProgressLine),
    End(EndLine),
}

/// What the model says of a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::predict) struct PictureLine {
    /// Where it was in the archive, or its file's name in the form.
    pub path: String,
    #[serde(flatten)]
    pub prediction: PicturePrediction,
}

/// Why a picture has no answer.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::predict) struct FailedLine {
    path: String,
    error: LineError,
}

/// What is wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::api::predict) struct LineError {
    /// Which problem it is; never changes.
    #[schema(example = "unusable_picture")]
    code: &'static str,
    /// What happened and what to change, for people.
    message: String,
}

/// How far it has come.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::predict) struct ProgressLine {
    progress: Progress,
}

/// How far it has come.
#[derive(Debug, Serialize, ToSchema)]
struct Progress {
    /// Those whose lines went out.
    pictures: u64,
    /// All; null for an archive, which doesn't say.
    total: Option<u64>,
}

/// The last line. An answer that ends without one broke off.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::predict) struct EndLine {
    /// Whether there was a line for every picture of the set.
    done: bool,
    /// Lines of pictures, those with errors among them.
    pictures: u64,
    /// Those with errors.
    failed: u64,
    /// Why the rest of the set couldn't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<LineError>,
    model: Answerer,
}

impl Line {
    pub(super) fn failed(path: String, error: LineError) -> Self {
        Self::Failed(FailedLine { path, error })
    }

    fn write(&self, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(&mut *bytes, self)?;
        bytes.push(b'\n');
        Ok(())
    }
}

impl LineError {
    /// A picture that couldn't be taken out of the set.
    pub(super) fn unusable(message: String) -> Self {
        Self { code: "unusable_picture", message }
    }
}

impl From<ApiError> for LineError {
    fn from(error: ApiError) -> Self {
        Self { code: error.code(), message: error.message() }
    }
}

/// What went out so far.
pub(super) struct Tally {
    total: Option<u64>,
    pictures: u64,
    failed: u64,
    model: Answerer,
}

impl Tally {
    pub fn new(total: Option<u64>, model: Answerer) -> Self {
        Self { total, pictures: 0, failed: 0, model }
    }

    /// The answer's text: the pictures' lines, progress in between, and the end. The first error is the end.
    pub fn lines(
        self,
        answers: impl Stream<Item = Result<Line, ApiError>> + Send + 'static,
    ) -> impl Stream<Item = serde_json::Result<Bytes>> + Send + 'static {
        futures_util::stream::unfold(Some((self, answers.boxed())), |state| async {
            let (mut tally, mut answers) = state?;
            let mut bytes = Vec::new();
            let (written, state) = match answers.next().await {
                Some(Ok(line)) => (tally.picture(&line, &mut bytes), Some((tally, answers))),
                Some(Err(error)) => (tally.end(Some(error.into())).write(&mut bytes), None),
                None => (tally.end(None).write(&mut bytes), None),
            };
            Some((written.map(|()| bytes.into()), state))
        })
    }

    fn picture(&mut self, line: &Line, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        if self.pictures > 0 && self.pictures.is_multiple_of(PROGRESS_EVERY) {
            let progress = Progress { pictures: self.pictures, total: self.total };
            Line::Progress(ProgressLine { progress }).write(bytes)?;
        }
        self.pictures += 1;
        self.failed += u64::from(matches!(line, Line::Failed(_)));
        line.write(bytes)
    }

    fn end(self, error: Option<LineError>) -> Line {
        let Self { pictures, failed, model, .. } = self;
        Line::End(EndLine { done: error.is_none(), pictures, failed, error, model })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures_util::stream;
    use serde_json::{Value, json};

    use super::*;

    async fn lines(total: Option<u64>, answers: Vec<Result<Line, ApiError>>) -> Vec<Value> {
        let model = Answerer { name: "m".parse().unwrap(), version: 3 };
        let text: Vec<Bytes> = Tally::new(total, model).lines(stream::iter(answers)).map(Result::unwrap).collect().await;
        let text = String::from_utf8(text.concat()).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn failed(number: usize) -> Result<Line, ApiError> {
        Ok(Line::failed(format!("{number}.png"), LineError::unusable("the file is empty".to_owned())))
    }

    #[tokio::test]
    async fn lines_then_the_end() {
        let lines = lines(None, vec![failed(0)]).await;
        let error = json!({"code": "unusable_picture", "message": "the file is empty"});
        assert_eq!(lines[0], json!({"path": "0.png", "error": error}));
        assert_eq!(lines[1], json!({"done": true, "pictures": 1, "failed": 1, "model": {"name": "m", "version": 3}}));
        assert_eq!(lines.len(), 2);
    }

    #[tokio::test]
    async fn progress_comes_between_hundreds() {
        let all = lines(Some(201), (0..201).map(failed).collect()).await;
        assert_eq!(all.len(), 201 + 2 + 1);
        assert_eq!(all[100], json!({"progress": {"pictures": 100, "total": 201}}));
        assert_eq!(all[201], json!({"progress": {"pictures": 200, "total": 201}}));
        let hundred = lines(None, (0..100).map(failed).collect()).await;
        assert!(hundred.iter().all(|line| line.get("progress").is_none()), "the end says it");
    }

    #[tokio::test]
    async fn a_set_that_breaks_off_says_so_and_ends() {
        let broken = Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "broken_archive", "it is cut short"));
        let lines = lines(None, vec![failed(0), broken, failed(1)]).await;
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[1]["done"], &lines[1]["pictures"]), (&json!(false), &json!(1)));
        assert_eq!(lines[1]["error"], json!({"code": "broken_archive", "message": "it is cut short"}));
    }
}
