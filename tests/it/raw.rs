//! A client that sends bytes as they are, HTTP or not, and reads what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Longest that an answer is waited for: a bound for failures, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back. A connection that was closed without an answer has the status 0.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to a server.
pub struct Raw {
    stream: TcpStream,
    /// What came beyond the last reply.
    left: Vec<u8>,
}

impl Raw {
    pub fn connect(host: &str) -> Self {
        Self::try_connect(host).unwrap_or_else(|error| panic!("no connection to {host}: {error}"))
    }

    pub fn try_connect(host: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, left: Vec::new() })
    }

    /// Sends a request and reads the answer.
    pub fn ask(&mut self, request: &[u8]) -> Reply {
        self.send(request);
        self.reply()
    }

    /// Sends what the server takes: it may answer and close before it has all.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted];
            assert!(closed.contains(&error.kind()), "{error}");
        }
    }

    /// Reads one answer; interim ones (1xx) are passed over.
    pub fn reply(&mut self) -> Reply {
        loop {
            let Some(end) = self.until(|bytes| find(bytes, b"\r\n\r\n")) else {
                return Reply { status: 0, head: String::new(), body: std::mem::take(&mut self.left) };
            };
            let head = String::from_utf8_lossy(&self.left[..end]).into_owned();
            self.left.drain(..end + 4);
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.unwrap_or_else(|| panic!("no status in {head:?}"));
            if (100..200).contains(&status) {
                continue;
            }
            let mut reply = Reply { status, head, body: Vec::new() };
            let length = reply.header("content-length").map(|length| length.parse::<usize>().unwrap());
            let length = length.unwrap_or(usize::MAX);
            self.until(|bytes| (bytes.len() >= length).then_some(()));
            reply.body = self.left.drain(..self.left.len().min(length)).collect();
            return reply;
        }
    }

    /// Whether nothing comes for so long, and the connection stays open.
    pub fn is_silent(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Goes away in the midst of things.
    pub fn hang_up(self) {
        // Closed at the other end already is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Reads until `found` finds something; none if the connection ends first.
    fn until<T>(&mut self, found: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = found(&self.left) {
                return Some(found);
            }
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.left.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer came: {error}"),
            }
        }
    }
}

/// A request as bytes: with `host` and `content-length`, if `headers` don't have them.
pub fn request(host: &str, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    let mut head = format!("{line} HTTP/1.1\r\n");
    if !has("host") {
        head += &format!("host: {host}\r\n");
    }
    if !body.is_empty() && !has("content-length") && !has("transfer-encoding") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
