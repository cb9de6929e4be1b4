//! The requests, and what they may be answered with.

use crate::raw::request;
use crate::server::Server;

/// What happens once the bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The answer is waited for, however long the server gives the rest to come.
    Wait,
    /// The client goes away.
    HangUp,
}

/// What is sent, and what comes of it.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub then: Then,
    /// The statuses that may come; 0 for a connection that is closed without one.
    pub expected: &'static [u16],
}

struct Cases<'a> {
    server: &'a Server,
    cases: Vec<Case>,
}

impl Cases<'_> {
    fn raw(&mut self, name: &'static str, bytes: impl Into<Vec<u8>>, expected: &'static [u16]) {
        self.cases.push(Case { name, bytes: bytes.into(), then: Then::Wait, expected });
    }

    fn ask(
        &mut self,
        name: &'static str,
        line: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
        expected: &'static [u16],
    ) {
        let bytes = request(self.server.host(), line, headers, body.as_ref());
        self.raw(name, bytes, expected);
    }

    fn json(&mut self, name: &'static str, line: &str, body: impl AsRef<[u8]>, expected: &'static [u16]) {
        self.ask(name, line, &[("content-type", "application/json")], body, expected);
    }

    fn hang_up(&mut self, name: &'static str, line: &str, headers: &[(&str, &str)], body: &[u8]) {
        let bytes = request(self.server.host(), line, headers, body);
        self.cases.push(Case { name, bytes, then: Then::HangUp, expected: &[] });
    }
}

/// All of them, for this server.
pub fn all(server: &Server) -> Vec<Case> {
    let mut cases = Cases { server, cases: Vec::new() };
    heads(&mut cases);
    hosts(&mut cases);
    framing(&mut cases);
    bodies(&mut cases);
    cases.cases
}

/// Heads of requests.
fn heads(cases: &mut Cases<'_>) {
    let line = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n", cases.server.host());
    let head = |rest: &str| format!("{line}{rest}\r\n");
    cases.raw("bytes that are no text", *b"\x00\x01\x02\xff\xfe\r\n\r\n", &[400]);
    cases.raw("a TLS hello", *b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400]);
    cases.raw("another protocol's greeting", *b"SSH-2.0-OpenSSH_9.9\r\n", &[400]);
    cases.raw("HTTP/2 without asking", *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", &[0, 400]);
    cases.raw("a version that isn't", "GET / HTTP/9.9\r\n\r\n", &[0, 400]);
    cases.raw("no version", "GET /healthz\r\n\r\n", &[400]);
    cases.raw("nothing but line ends", "\r\n\r\n\r\n", &[0, 400]);
    cases.raw("half a line, then silence", "GET /hea", &[0]);
    cases.raw("half a head, then silence", line.clone(), &[0]);
    cases.raw("a method with a NUL", "GE\0T / HTTP/1.1\r\n\r\n", &[400]);
    cases.ask("a method in lower case", "get /healthz", &[], "", &[405]);
    cases.ask("a method of ten thousand letters", &format!("{} /healthz", "A".repeat(10_000)), &[], "", &[400, 405]);
    cases.ask("TRACE", "TRACE /healthz", &[], "", &[405]);
    cases.ask("CONNECT", "CONNECT elsewhere.example:443", &[], "", &[403]);
    cases.ask("a star", "OPTIONS *", &[], "", &[404, 405]);
    cases.raw("a field without a colon", head("nonsense\r\n"), &[400]);
    cases.raw("a field with a space", head("bad name: x\r\n"), &[400]);
    cases.raw("a field with a NUL", head("a: b\0c\r\n"), &[400]);
    cases.raw("a field that is folded", head("a: b\r\n c\r\n"), &[400]);
    cases.raw("a space before the first field", "GET /healthz HTTP/1.1\r\n host: localhost\r\n\r\n", &[400]);
    cases.raw("ten thousand fields", head(&"a:b\r\n".repeat(10_000)), &[431]);
    cases.raw("a hundred and one fields", head(&"a:b\r\n".repeat(101)), &[431]);
    cases.raw("a field of 100 KB", head(&format!("a: {}\r\n", "b".repeat(100_000))), &[431]);
    cases.raw("a head of a megabyte that goes on", format!("{line}a: {}", "b".repeat(1 << 20)), &[431]);
    cases.ask("an address of 70 KB", &format!("GET /{}", "a".repeat(70_000)), &[], "", &[414, 431]);
    cases.ask("an address of 20 KB", &format!("GET /{}", "a".repeat(20_000)), &[], "", &[404]);
    cases.raw("an address with a control character", "GET /\x01 HTTP/1.1\r\n\r\n", &[400]);
    cases.raw("an address that is no UTF-8", *b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n", &[400, 404]);
    cases.ask("an address out of the folder", "GET /../../etc/passwd", &[], "", &[404]);
    cases.ask("the same in disguise", "GET /v1/datasets/..%2f..%2f..%2fetc%2fpasswd", &[], "", &[404]);
    cases.ask("an address that is no UTF-8, in disguise", "GET /v1/datasets/%ff%fe", &[], "", &[404]);
    cases.ask("an address with a NUL in disguise", "GET /v1/datasets/%00", &[], "", &[404]);
    cases.ask("an escape that isn't one", "GET /v1/datasets/%zz", &[], "", &[404]);
    cases.ask("a query that is no UTF-8", "GET /v1/jobs?cursor=%ff%fe", &[], "", &[422]);
    cases.ask("a cursor of 50 KB", &format!("GET /v1/jobs?cursor={}", "a".repeat(50_000)), &[], "", &[422]);
    cases.ask("a limit beyond numbers", "GET /v1/jobs?limit=99999999999999999999", &[], "", &[422]);
    cases.ask("a limit below zero", "GET /v1/datasets?limit=-1", &[], "", &[422]);
    cases.ask("a limit twice", "GET /v1/models?limit=1&limit=2", &[], "", &[422]);
    let events = "GET /v1/jobs/018f0000-0000-7000-8000-000000000000/events";
    cases.ask("an event's number that is none", events, &[("last-event-id", "-1")], "", &[422]);
}

/// Who asks, and whom.
fn hosts(cases: &mut Cases<'_>) {
    cases.raw("no host", "GET /healthz HTTP/1.1\r\n\r\n", &[400]);
    cases.raw("two hosts", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", &[400]);
    cases.ask("an empty host", "GET /healthz", &[("host", "")], "", &[400]);
    cases.ask("a host with a user", "GET /healthz", &[("host", "user@localhost")], "", &[400]);
    cases.ask("a host of somebody else", "GET /v1/jobs", &[("host", "elsewhere.example")], "", &[403]);
    cases.ask("a host that begins well", "GET /v1/jobs", &[("host", "127.0.0.1.elsewhere.example")], "", &[403]);
    cases.ask("an address of somebody else", "GET http://elsewhere.example/v1/jobs", &[("host", "localhost")], "", &[403]);
    for (name, field, value) in [
        ("a page from elsewhere", "origin", "http://elsewhere.example"),
        ("a page from nowhere", "origin", "null"),
        ("a page from another port", "origin", "http://127.0.0.1:1"),
        ("a page that says it's from elsewhere", "sec-fetch-site", "cross-site"),
    ] {
        let headers = [(field, value), ("content-type", "application/json")];
        cases.ask(name, "POST /v1/jobs", &headers, r#"{"dataset": "d", "model": "m"}"#, &[403]);
        cases.ask(name, "DELETE /v1/datasets/d", &headers, "", &[403]);
        cases.ask(name, "POST /v1/datasets?name=d", &headers, vec![0u8; 5 << 20], &[403]);
    }
}

/// Where a body begins and ends.
fn framing(cases: &mut Cases<'_>) {
    const JOBS: &str = "POST /v1/jobs";
    const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
    const JSON: (&str, &str) = ("content-type", "application/json");
    cases.ask("a length and chunks", JOBS, &[("content-length", "4"), CHUNKED, JSON], "0\r\n\r\n", &[400]);
    cases.ask("chunks and a length", JOBS, &[CHUNKED, ("content-length", "4"), JSON], "0\r\n\r\n", &[400]);
    cases.ask("two lengths", JOBS, &[("content-length", "2"), ("content-length", "3"), JSON], "{}}", &[400]);
    for length in ["-1", "+2", "2 2", "0x2", "1e1", "", "99999999999999999999"] {
        cases.ask("a length that is none", JOBS, &[("content-length", length), JSON], "{}", &[400]);
    }
    cases.ask(
        "a coding before chunks that isn't known",
        JOBS,
        &[("transfer-encoding", "chunked, gzip"), JSON],
        "0\r\n\r\n",
        &[400],
    );
    cases.ask("a coding without chunks", JOBS, &[("transfer-encoding", "gzip"), JSON], "0\r\n\r\n", &[400]);
    for (name, body) in [
        ("a chunk whose size is none", "zz\r\nabc\r\n0\r\n\r\n".to_owned()),
        ("a chunk larger than numbers", "fffffffffffffffff\r\nabc\r\n".to_owned()),
        ("a chunk longer than it says", "2\r\nabcdef\r\n0\r\n\r\n".to_owned()),
        ("a chunk that says too much of itself", format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000))),
        ("trailers without end", format!("2\r\n{{}}\r\n0\r\n{}\r\n", "a: b\r\n".repeat(20_000))),
    ] {
        cases.ask(name, JOBS, &[CHUNKED, JSON], body, &[400, 422]);
    }
    cases.ask("a length that cuts the body short", JOBS, &[("content-length", "1"), JSON], "{}", &[400]);
    cases.ask("half a body, then silence", JOBS, &[("content-length", "100"), JSON], "{\"dataset\":", &[408]);
    cases.ask("half a chunk, then silence", JOBS, &[CHUNKED, JSON], "5\r\n{\"d", &[408]);
    cases.ask("a promise, then silence", JOBS, &[("content-length", "2"), ("expect", "100-continue"), JSON], "", &[408]);
    let half = [("content-length", "1000000")];
    cases.ask("half an upload, then silence", "POST /v1/datasets?name=slow", &half, vec![0u8; 1000], &[408]);
    let form = "multipart/form-data; boundary=x";
    let part = "--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.zip\"\r\n\r\nPK";
    cases.ask("half a form, then silence", "POST /v1/datasets", &[half[0], ("content-type", form)], part, &[408]);
    cases.ask("a form that ends early", "POST /v1/datasets", &[("content-type", form)], part, &[400]);
    cases.ask("a form without a boundary", "POST /v1/datasets", &[("content-type", "multipart/form-data")], part, &[400]);
    let endless = [b"--x\r\na: ".to_vec(), vec![b'b'; 12 << 20]].concat();
    cases.ask("a part whose head has no end", "POST /v1/datasets", &[("content-type", form)], endless, &[400]);
    let fields = "--x\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\n\r\n".repeat(1000) + "--x--\r\n";
    cases.ask("a thousand fields and no file", "POST /v1/datasets", &[("content-type", form)], fields, &[422]);
    cases.ask("an upload that says it's too large", "POST /v1/datasets", &[("content-length", "99999999999999")], "", &[413]);
    let endless = "10000\r\n".to_owned() + &"a".repeat(0x10000) + "\r\n";
    let endless = endless.repeat(40) + "0\r\n\r\n";
    cases.ask("a body in chunks that is too large", JOBS, &[CHUNKED, JSON], endless, &[413]);
    cases.hang_up("an upload that breaks off", "POST /v1/datasets?name=gone", &half, &vec![0u8; 100_000]);
    cases.hang_up("a form that breaks off", "POST /v1/datasets", &[half[0], ("content-type", form)], part.as_bytes());
    cases.hang_up("a chunk that breaks off", "POST /v1/datasets?name=gone", &[CHUNKED], b"ffff\r\nPK");
    cases.hang_up("JSON that breaks off", JOBS, &[half[0], JSON], b"{");
    cases.hang_up("nobody waits for the answer", "GET /v1/jobs", &[], b"");
}

/// What a body holds.
fn bodies(cases: &mut Cases<'_>) {
    for line in ["POST /v1/jobs", "POST /v1/sweeps", "PUT /v1/models/m/aliases/a"] {
        cases.json("no body", line, "", &[400]);
        cases.json("half an object", line, "{\"dataset\": \"d\"", &[400, 422]);
        cases.json("depth of 100,000 arrays", line, "[".repeat(100_000), &[400, 422]);
        cases.json("depth of 100,000 objects", line, "{\"dataset\":".repeat(50_000), &[400, 422]);
        cases.json("no UTF-8", line, b"{\"\xff\": 1}", &[400, 422]);
        cases.json("a number beyond any", line, "1e999", &[400, 422]);
        cases.json("a field that isn't known", line, "{\"surprise\": true}", &[422]);
        cases.json("a field twice", line, "{\"dataset\": \"a\", \"dataset\": \"b\"}", &[422]);
        cases.json("the wrong kind of thing", line, "42", &[422]);
        cases.ask("no type", line, &[], "{}", &[415]);
        cases.ask("a wrong type", line, &[("content-type", "text/html")], "{}", &[415]);
        cases.ask("a type that is none", line, &[("content-type", "\u{7f}")], "{}", &[400, 415]);
    }
    cases.json("two megabytes", "POST /v1/jobs", vec![b' '; 2 << 20], &[413]);
    let recipe = |recipe: &str| format!("{{\"dataset\": \"d\", \"model\": \"m\", \"recipe\": {recipe}}}");
    cases.json("a seed beyond numbers", "POST /v1/jobs", recipe("{\"seed\": 1e999}"), &[400, 422]);
    cases.json("a rate beyond sense", "POST /v1/jobs", recipe("{\"batch_size\": 1e300}"), &[422]);
    cases.json("a text for a number", "POST /v1/jobs", recipe("{\"batch_size\": \"8\"}"), &[422]);
    cases.json("an array for an object", "POST /v1/jobs", recipe("[[[]]]"), &[400, 422]);
    cases.json("a name with a NUL", "POST /v1/jobs", "{\"dataset\": \"\\u0000\", \"model\": \"m\"}", &[404]);
    cases.json("a data set that is none", "POST /v1/datasets", "{}", &[422]);
    cases.ask("a page for a data set", "POST /v1/datasets", &[("content-type", "text/html")], "<html></html>", &[422]);
    cases.ask("nothing for a data set", "POST /v1/datasets", &[("content-type", "application/zip")], "", &[422]);
    cases.json("a prediction by no model", "POST /predict", "{\"image\": 1}", &[404]);
    cases.ask("a deadline that is none", "POST /predict?top_k=-1", &[("x-deadline-ms", "soon")], "x", &[422]);
}
