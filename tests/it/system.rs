//! Health, documentation, and answers to what doesn't exist.

use crate::server::Server;

#[test]
fn health_readiness_and_documentation() {
    let server = Server::start();
    assert_eq!(server.get("/healthz").status, 200);
    let ready = server.get("/readyz").expect(200);
    assert_eq!(ready["workers"]["wanted"], 1, "{ready}");
    assert_eq!(server.get("/openapi.json").expect(200)["info"]["title"], "topgraft");
    let docs = server.get("/docs/");
    assert_eq!(docs.status, 200);
    assert!(docs.text().contains("swagger-ui"));
    // Nothing comes from another host.
    assert!(!docs.text().contains("https://") && !docs.text().contains("//cdn"), "{}", docs.text());
}

#[test]
fn errors_are_problems() {
    let server = Server::start_with(&["--workers", "0", "--max-request-bytes", "1000"]);
    server.get("/v1/nothing").problem(404, "not_found");
    server.delete("/predict").problem(405, "method_not_allowed");
    let long = format!("{{\"dataset\": \"{}\"}}", "x".repeat(2000));
    server.post("/v1/jobs", "application/json", long.as_bytes()).problem(413, "too_large");
    server.post("/v1/jobs", "text/plain", b"{}").problem(415, "unsupported_media_type");
}
