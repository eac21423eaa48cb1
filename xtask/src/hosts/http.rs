//! One request a connection, over HTTP/1.0: no more is needed to ask a host of this machine.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Why nothing came back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no connection, so nothing was sent.
    NotSent(io::Error),
    /// The connection broke or went silent, and nobody knows what came of the request.
    Lost(io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "not sent: {error}"),
            Self::Lost(error) => write!(f, "lost: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

pub(crate) fn get(address: SocketAddr, path: &str, within: Duration) -> Result<Answer, Failure> {
    ask(address, &format!("GET {path}"), "", "", within)
}

/// With a further header, such as `Rpc-Procedure: echo`.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    header: &str,
    body: &str,
    within: Duration,
) -> Result<Answer, Failure> {
    ask(address, &format!("POST {path}"), header, body, within)
}

fn ask(
    address: SocketAddr,
    what: &str,
    header: &str,
    body: &str,
    within: Duration,
) -> Result<Answer, Failure> {
    let until = Instant::now() + within;
    let mut stream = TcpStream::connect_timeout(&address, within).map_err(Failure::NotSent)?;
    let header = match header {
        "" => String::new(),
        header => format!("{header}\r\n"),
    };
    let request = format!(
        "{what} HTTP/1.0\r\nHost: {address}\r\n{header}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answered = exchange(&mut stream, &request, until);
    answered.map_err(Failure::Lost)
}

fn exchange(stream: &mut TcpStream, request: &str, until: Instant) -> io::Result<Answer> {
    stream.set_write_timeout(Some(left(until)))?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        stream.set_read_timeout(Some(left(until)))?;
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    parse(&answer).ok_or_else(|| io::Error::other(format!("not an answer: {answer:?}")))
}

/// At least something: nothing would mean for ever.
fn left(until: Instant) -> Duration {
    until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// `None` when it was cut off.
fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|it| {
        let (name, value) = it.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let is_whole = length.is_none_or(|it| it == body.len());
    is_whole.then(|| Answer {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        let whole = parse("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno");
        let expected = Answer {
            status: 503,
            body: "no".to_owned(),
        };
        assert_eq!(whole, Some(expected));
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno"),
            None
        );
        assert_eq!(parse("HTTP/1.1 200 OK\r\n"), None);
    }
}
