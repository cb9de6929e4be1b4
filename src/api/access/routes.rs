//! The one table of what each route needs. A route that isn't in it needs `admin`; a test sees to it that all are.

use axum::http::Method;

use crate::access::Scope;

/// What a request must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is open to everybody.
    Nothing,
    /// A key with one of these scopes, or with `admin`.
    Key(&'static [Scope]),
    /// A key, whatever it is for; whoever has none is led to where one can be given. What a page shows, it asks the API for, as its reader.
    Page,
}

const OPEN: Need = Need::Nothing;
/// A key, whatever it is for.
const ANY: Need = Need::Key(&Scope::ALL);
/// Asking models.
const ASK: Need = Need::Key(&[Scope::Predict]);
/// Looking at models.
const LOOK: Need = Need::Key(&[Scope::Predict, Scope::Train]);
const TRAIN: Need = Need::Key(&[Scope::Train]);
const ADMIN: Need = Need::Key(&[Scope::Admin]);

const TABLE: &[(&str, &str, Need)] = &[
    ("GET", "/", Need::Page),
    ("GET", "/datasets", Need::Page),
    ("GET", "/datasets/{id}", Need::Page),
    ("GET", "/datasets/{id}/audit", Need::Page),
    ("GET", "/train", Need::Page),
    ("GET", "/jobs", Need::Page),
    ("GET", "/jobs/{id}", Need::Page),
    ("GET", "/compare", Need::Page),
    ("GET", "/models", Need::Page),
    ("GET", "/models/{name}", Need::Page),
    ("GET", "/models/{name}/compare", Need::Page),
    ("GET", "/models/{name}/versions/{version}", Need::Page),
    ("GET", "/try", Need::Page),
    ("GET", "/sign-in", OPEN),
    ("POST", "/sign-in", OPEN),
    ("POST", "/sign-out", OPEN),
    ("GET", "/assets/{version}/{*name}", OPEN),
    ("GET", "/docs", OPEN),
    ("GET", "/docs/", OPEN),
    ("GET", "/docs/{*rest}", OPEN),
    ("GET", "/openapi.json", OPEN),
    ("GET", "/healthz", OPEN),
    ("GET", "/livez", OPEN),
    ("GET", "/readyz", OPEN),
    ("GET", "/v2/health/live", OPEN),
    ("GET", "/v2/health/ready", OPEN),
    ("GET", "/metrics", ANY),
    ("GET", "/v1/audit", ADMIN),
    ("POST", "/v1/datasets", TRAIN),
    ("GET", "/v1/datasets", TRAIN),
    ("GET", "/v1/datasets/{id}", TRAIN),
    ("DELETE", "/v1/datasets/{id}", TRAIN),
    ("GET", "/v1/datasets/{id}/images", TRAIN),
    ("GET", "/v1/datasets/{id}/images/{image}", TRAIN),
    ("GET", "/v1/datasets/{id}/rejected", TRAIN),
    ("POST", "/v1/datasets/{id}/audit", TRAIN),
    ("GET", "/v1/datasets/{id}/audit", TRAIN),
    ("GET", "/v1/datasets/{id}/audit/findings", TRAIN),
    ("POST", "/v1/datasets/{id}/revisions", TRAIN),
    ("GET", "/v1/recipes", ANY),
    ("POST", "/v1/recipes", ANY),
    ("POST", "/v1/jobs", TRAIN),
    ("GET", "/v1/jobs", TRAIN),
    ("GET", "/v1/jobs/{id}", TRAIN),
    ("POST", "/v1/jobs/{id}/cancel", TRAIN),
    ("GET", "/v1/jobs/{id}/epochs", TRAIN),
    ("GET", "/v1/jobs/{id}/events", TRAIN),
    ("GET", "/v1/jobs/{id}/report", TRAIN),
    ("POST", "/v1/sweeps", TRAIN),
    ("GET", "/v1/sweeps", TRAIN),
    ("GET", "/v1/sweeps/{id}", TRAIN),
    ("DELETE", "/v1/sweeps/{id}", TRAIN),
    ("POST", "/v1/sweeps/{id}/cancel", TRAIN),
    ("POST", "/v1/sweeps/{id}/publish", TRAIN),
    ("GET", "/v1/models", LOOK),
    ("GET", "/v1/models/{name}", LOOK),
    ("GET", "/v1/models/{name}/report", LOOK),
    ("GET", "/v1/models/{name}/versions/{version}", LOOK),
    ("GET", "/v1/models/{name}/versions/{version}/report", LOOK),
    ("GET", "/v1/models/{name}/versions/{version}/predictions", LOOK),
    ("GET", "/v1/models/{name}/versions/{version}/thresholds", LOOK),
    ("GET", "/v1/models/{name}/versions/{version}/download", LOOK),
    ("PUT", "/v1/models/{name}/aliases/{alias}", ADMIN),
    ("DELETE", "/v1/models/{name}/aliases/{alias}", ADMIN),
    ("POST", "/predict", ASK),
    ("POST", "/v1/models/{name}/predict", ASK),
    ("POST", "/v1/models/{name}/versions/{version}/predict", ASK),
    ("POST", "/v1/models/{name}/aliases/{alias}/predict", ASK),
    ("GET", "/v2", ASK),
    ("GET", "/v2/models/{name}", ASK),
    ("GET", "/v2/models/{name}/ready", ASK),
    ("GET", "/v2/models/{name}/versions/{version}", ASK),
    ("GET", "/v2/models/{name}/versions/{version}/ready", ASK),
    ("POST", "/v2/models/{name}/infer", ASK),
    ("POST", "/v2/models/{name}/versions/{version}/infer", ASK),
];

/// The table's row, if there is one.
fn row(method: &str, route: &str) -> Option<Need> {
    // axum answers HEAD wherever it answers GET.
    let method = if method == "HEAD" { "GET" } else { method };
    TABLE.iter().find(|row| (row.0, row.1) == (method, route)).map(|row| row.2)
}

/// What a request needs. Where there is no route, nothing can be done, so any key may learn that.
pub(super) fn need(method: &Method, route: Option<&str>) -> Need {
    match route {
        Some(route) => row(method.as_str(), route).unwrap_or(ADMIN),
        None => ANY,
    }
}

/// Whether a request is to change something: those that ask models, what a recipe comes to, or to sign in post, too, but change nothing.
pub(super) fn changes(method: &Method, route: Option<&str>) -> bool {
    let is_safe = !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    !is_safe && route.is_some() && ![ASK, ANY, OPEN].contains(&need(method, route))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::openapi;

    /// Not in the description, which is about the API.
    const UNDESCRIBED: [&str; 8] =
        ["/docs", "/docs/", "/docs/{*rest}", "/openapi.json", "/livez", "/sign-in", "/sign-out", "/assets/{version}/{*name}"];

    #[test]
    fn the_table_has_every_route_and_no_other() {
        let description = serde_json::to_value(openapi()).unwrap();
        let paths = description["paths"].as_object().unwrap();
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone())))
            .collect();
        for (method, path) in &described {
            assert!(row(method, path).is_some(), "{method} {path} isn't in the table of what routes need");
        }
        for (method, path, need) in TABLE {
            let known = described.contains(&((*method).to_owned(), (*path).to_owned()));
            assert!(
                known || UNDESCRIBED.contains(path) || *need == Need::Page,
                "{method} {path} is in the table and nowhere else"
            );
        }
        let rows: BTreeSet<_> = TABLE.iter().map(|(method, path, _)| (method, path)).collect();
        assert_eq!(rows.len(), TABLE.len(), "a route is in the table twice");
    }

    #[test]
    fn nothing_is_open_by_mistake() {
        for (method, path, need) in TABLE {
            let is_health = path.contains("health") || path.ends_with("readyz") || path.ends_with("livez");
            let is_sign = path.starts_with("/sign-") || path.starts_with("/assets/");
            let is_open = is_health || is_sign || *path == "/openapi.json" || path.starts_with("/docs");
            assert_eq!(*need == OPEN, is_open, "{method} {path}");
            assert!(*need != OPEN || *method == "GET" || is_sign, "{path}");
            assert!(*need != Need::Page || (*method == "GET" && !path.starts_with("/v")), "{path}");
        }
        assert_eq!(need(&Method::HEAD, Some("/v1/jobs")), TRAIN);
        assert_eq!(need(&Method::POST, Some("/v1/new")), ADMIN);
        assert_eq!(need(&Method::PATCH, Some("/v1/jobs/{id}")), ADMIN);
        assert_eq!(need(&Method::OPTIONS, Some("/readyz")), ADMIN);
        assert_eq!(need(&Method::GET, None), ANY);
    }

    #[test]
    fn what_asks_models_changes_nothing() {
        assert!(changes(&Method::POST, Some("/v1/jobs")) && changes(&Method::DELETE, Some("/v1/datasets/{id}")));
        assert!(changes(&Method::PATCH, Some("/v1/new")), "a route that isn't in the table");
        assert!(!changes(&Method::POST, Some("/predict")) && !changes(&Method::POST, Some("/v2/models/{name}/infer")));
        assert!(!changes(&Method::POST, Some("/v1/recipes")) && !changes(&Method::POST, Some("/sign-in")));
        assert!(!changes(&Method::GET, Some("/v1/jobs")) && !changes(&Method::POST, None));
    }
}
