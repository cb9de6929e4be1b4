//! The page that people look at: templates, rendered here, and the files that they load. minijinja lives here only.
//!
//! A template gets what the API answers, as JSON, and nothing else: a page can't show what a program couldn't ask for. Everything is
//! in the binary.

mod assets;
mod filters;
pub mod views;

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

pub use assets::{Asset, asset, version};

/// Makes the table of templates from their files' names.
macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("templates/", $name)))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = templates![
    "ask.html",
    "audit.html",
    "base.html",
    "compare.html",
    "dataset.html",
    "datasets.html",
    "error.html",
    "home.html",
    "job.html",
    "jobs.html",
    "macros.html",
    "model.html",
    "models.html",
    "sign_in.html",
    "train.html",
    "try.html",
    "version.html",
    "versions.html",
];

/// The templates are in the binary, and a test reads them all: that they can be read isn't left to the day they are asked for.
static PAGES: LazyLock<Pages> = LazyLock::new(|| Pages::new().expect("a test reads every template"));

/// The templates.
#[must_use]
pub fn pages() -> &'static Pages {
    &PAGES
}

/// The templates, ready to be filled.
#[derive(Debug)]
pub struct Pages {
    environment: Environment<'static>,
}

/// What every page is told beside its own content.
#[derive(Debug, Clone, Serialize)]
pub struct Frame {
    /// Where the site begins, relative to the page: `./` or `../` as often as the page lies deep. So a page works behind whatever
    /// prefix a proxy has taken off.
    pub root: String,
    /// The part of the site that the page belongs to, as the first part of its address.
    pub section: String,
    /// Whether the browser keeps a key that it may forget.
    pub signed_in: bool,
}

/// A template that can't be filled: a mistake in it, or in what it is given.
#[derive(Debug, thiserror::Error)]
#[error("the page {template} can't be made: {source:#}")]
pub struct PageError {
    /// Which template.
    template: &'static str,
    source: minijinja::Error,
}

impl Frame {
    /// The frame of the page at `path`, which begins with a slash.
    #[must_use]
    pub fn of(path: &str, signed_in: bool) -> Self {
        let depth = path.matches('/').count().saturating_sub(1);
        let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
        let section = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        Self { root, section, signed_in }
    }
}

impl Pages {
    /// Reads the templates.
    ///
    /// # Errors
    /// A template that isn't one: a mistake that the tests find.
    pub fn new() -> Result<Self, PageError> {
        let mut environment = Environment::new();
        // A name that is written wrong shows as an error, not as nothing; fields that an answer may lack can be asked for.
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        // Tags on lines of their own leave no lines behind.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|source| PageError { template: "the syntax", source })?);
        filters::add(&mut environment);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).map_err(|source| PageError { template: name, source })?;
        }
        Ok(Self { environment })
    }

    /// The page that `template` makes of `content`.
    ///
    /// # Errors
    /// Content that hasn't what the template asks for: a mistake of this side.
    pub fn render(&self, template: &'static str, frame: &Frame, content: &impl Serialize) -> Result<String, PageError> {
        let root = frame.root.clone();
        // The name is one of ours: nothing in it needs escaping.
        let asset = move |name: String| -> Result<Value, minijinja::Error> {
            let known = assets::asset(&name).is_some();
            let unknown = || minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("there is no file {name}"));
            known.then(|| Value::from_safe_string(format!("{root}assets/{}/{name}", version()))).ok_or_else(unknown)
        };
        // `./` and `../` only.
        let root = Value::from_safe_string(frame.root.clone());
        let around = minijinja::context! { root, asset => Value::from_function(asset), ..Value::from(Serde(frame)) };
        let page = self
            .environment
            .get_template(template)
            .and_then(|page| page.render(minijinja::context! { ..Value::from(Serde(content)), ..around }));
        page.map_err(|source| PageError { template, source })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_template_can_be_read() {
        assert!(Pages::new().is_ok(), "{:?}", Pages::new().err());
    }

    #[test]
    fn the_root_is_as_far_up_as_the_page_is_deep() {
        let root = |path| Frame::of(path, false).root;
        assert_eq!((root("/"), root("/jobs"), root("/jobs/x")), ("./".to_owned(), "./".to_owned(), "../".to_owned()));
        assert_eq!(root("/models/a/versions/1"), "../../../");
        assert_eq!(Frame::of("/models/a", true).section, "models");
    }

    #[test]
    fn what_people_wrote_is_text_and_never_markup() {
        let pages = Pages::new().unwrap();
        let content = json!({"title": "<script>alert(1)</script>", "detail": "a & b"});
        let page = pages.render("error.html", &Frame::of("/x", false), &content).unwrap();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert") && page.contains("a &amp; b"), "{page}");
    }

    #[test]
    fn a_name_that_is_written_wrong_is_an_error() {
        let pages = Pages::new().unwrap();
        assert!(pages.render("error.html", &Frame::of("/x", false), &json!({"title": "x"})).is_err());
    }
}
