//! [`Load`]: requests by `h2load`, and whether each was answered as it should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::relays::Protocol;
use crate::process::need;

/// How large a message is, in bytes.
const MESSAGE: usize = 1_024;

/// What one run of the load has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Filled in by whoever has the relay's process.
    pub(super) processor_time: Duration,
    pub(super) duration: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// So many requests by so many connections.
#[derive(Debug)]
pub(super) struct Load {
    folder: PathBuf,
    requests: u64,
    connections: u64,
}

impl Load {
    pub(super) fn new(folder: &Path, requests: u64, connections: u64) -> Result<Self> {
        need("h2load", "--version", "nghttp2-client")?;
        for protocol in Protocol::ALL {
            fs::write(folder.join(protocol.name()), body(protocol))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            requests,
            connections,
        })
    }

    /// Sends them to a port of this machine.
    ///
    /// # Errors
    ///
    /// When one was not answered with the message that it carried, as far as lengths tell.
    pub(super) fn run(&self, protocol: Protocol, port: u16) -> Result<Sample> {
        let log = self.folder.join("requests.log");
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let output = self.command(protocol, port, &log).output();
        let output = output.context("h2load cannot be run")?;
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "h2load failed: {told}");
        self.check(protocol, &told)?;
        let log = fs::read_to_string(&log).context("h2load has written no log")?;
        let mut times = log.lines().map(response_time).collect::<Result<Vec<_>>>()?;
        times.sort_unstable();
        ensure!(!times.is_empty(), "h2load has logged nothing");
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        Ok(Sample {
            processor_time: Duration::ZERO,
            duration: duration(&told).with_context(|| format!("no duration in: {told}"))?,
            p50: at(50),
            p99: at(99),
        })
    }

    fn command(&self, protocol: Protocol, port: u16, log: &Path) -> Command {
        let mut command = Command::new("h2load");
        command
            .args(["--requests", &self.requests.to_string()])
            .args(["--clients", &self.connections.to_string()])
            .args(["--max-concurrent-streams", "1", "--threads", "1"])
            .arg("--data")
            .arg(self.folder.join(protocol.name()))
            .arg("--log-file")
            .arg(log);
        match protocol {
            Protocol::Http => command
                .args(["--h1", "--header", "Rpc-Procedure: echo"])
                .arg(format!("http://127.0.0.1:{port}/")),
            Protocol::Grpc => command
                .args(["--header", "content-type: application/grpc"])
                .args(["--header", "te: trailers"])
                .arg(format!("http://127.0.0.1:{port}/echo/echo")),
        };
        command
    }

    /// A gRPC call that fails is a 200 for h2load, but it has no message.
    fn check(&self, protocol: Protocol, told: &str) -> Result<()> {
        let succeeded = number_before(told, " succeeded");
        let all = Some(self.requests);
        ensure!(succeeded == all, "not every request succeeded: {told}");
        let length = u64::try_from(body(protocol).len())?;
        let expected = self.requests * length;
        let data = told.split("traffic:").nth(1).and_then(|it| {
            let (before, _) = it.split_once(") data")?;
            before.rsplit_once('(')?.1.parse().ok()
        });
        ensure!(
            data == Some(expected),
            "not every request came back: {data:?} bytes of {expected}"
        );
        Ok(())
    }
}

/// What a request carries, and its answer too.
fn body(protocol: Protocol) -> Vec<u8> {
    let mut body = Vec::new();
    if protocol == Protocol::Grpc {
        // Not compressed, and its length.
        body.extend([0, 0, 0, 4, 0]);
    }
    body.resize(body.len() + MESSAGE, b'x');
    body
}

/// Of a line `start, status, microseconds`, separated by tabs.
fn response_time(line: &str) -> Result<Duration> {
    let time = line.split_whitespace().nth(2);
    let time = time.and_then(|it| it.parse().ok());
    let time = time.with_context(|| format!("not a line of h2load's log: {line}"))?;
    Ok(Duration::from_micros(time))
}

/// Of `finished in 1.25s, …`.
fn duration(told: &str) -> Option<Duration> {
    let (_, rest) = told.split_once("finished in ")?;
    let (duration, _) = rest.split_once(',')?;
    let digits = duration.trim_end_matches(|it: char| it.is_alphabetic());
    let unit = match &duration[digits.len()..] {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        _ => return None,
    };
    let count: f64 = digits.parse().ok()?;
    Duration::try_from_secs_f64(count * unit).ok()
}

fn number_before(told: &str, what: &str) -> Option<u64> {
    let (before, _) = told.split_once(what)?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "finished in 502.50ms, 19900.50 req/s, 21.42MB/s\n\
        requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout\n\
        traffic: 10.77MB (11290000) total, 1.28MB (1337000) headers (space savings 0.00%), 10.01KB (10240) data\n";

    fn load(requests: u64) -> Load {
        Load {
            folder: PathBuf::new(),
            requests,
            connections: 1,
        }
    }

    #[test]
    fn what_h2load_tells_is_read() {
        assert_eq!(duration(TOLD), Some(Duration::from_micros(502_500)));
        let time = response_time("1700000000000000\t200\t734").unwrap();
        assert_eq!(time, Duration::from_micros(734));
        load(10).check(Protocol::Http, TOLD).unwrap();
    }

    #[test]
    fn a_request_that_did_not_come_back_is_an_error() {
        assert!(load(11).check(Protocol::Http, TOLD).is_err());
        // All succeeded, but a message over gRPC is longer by its head.
        assert!(load(10).check(Protocol::Grpc, TOLD).is_err());
    }
}
