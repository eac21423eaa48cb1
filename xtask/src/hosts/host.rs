//! [`Host`]: a process, from its start to its end.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::rest;

/// Ended when this is dropped, if it has not ended before.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    child: Child,
    printed: Receiver<String>,
    seen: Vec<String>,
}

impl Host {
    /// Starts it with `PATH` alone in its environment. What it logs is added to a file.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let log = File::options().append(true).create(true).open(log)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let child = command.spawn();
        let what = || format!("cannot run {}", command.get_program().display());
        let mut child = child.with_context(what)?;
        let output = child.stdout.take().context("its output is a pipe")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            printed: lines(output),
            seen: Vec::new(),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line that begins like this, once it is there.
    pub(crate) fn line(&mut self, begin: &str, within: Duration) -> Result<String> {
        if let Some(line) = self.seen.iter().find(|it| it.starts_with(begin)) {
            return Ok(line.clone());
        }
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.printed.recv_timeout(left) else {
                bail!(
                    "{} has not printed \"{begin}\" within {within:?}",
                    self.name
                );
            };
            self.seen.push(line.clone());
            if line.starts_with(begin) {
                return Ok(line);
            }
        }
    }

    /// The address at the end of such a line.
    pub(crate) fn address(&mut self, begin: &str, within: Duration) -> Result<SocketAddr> {
        let line = self.line(begin, within)?;
        let address = line.rsplit_once('/').and_then(|(_, it)| it.parse().ok());
        address.with_context(|| format!("no address in: {line}"))
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let id = self.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status()?;
        ensure!(sent.success(), "{} cannot be sent {signal}", self.name);
        Ok(())
    }

    pub(crate) fn is_over(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end.
    pub(crate) fn exit(&mut self, within: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!(
                    "{} goes on and on, {within:?} after it should have ended",
                    self.name
                );
            }
            rest(Duration::from_millis(10));
        }
    }

    /// The last line that it has printed before its end.
    pub(crate) fn last_line(&mut self) -> Option<String> {
        // The pipe is closed with the process.
        self.seen.extend(self.printed.iter());
        self.seen.last().cloned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SIGKILL ends what is paused, too; it may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, as they come; the thread ends with it.
fn lines(stream: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.for_each(|it| {
            // Whoever has no use for them has dropped the receiver.
            let _ = sender.send(it);
        });
    });
    receiver
}

/// Ports of loopback that nobody has, for hosts that must come back to the same.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut kept = Vec::new();
    while kept.len() < N {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = tcp.local_addr()?.port();
        if let Ok(udp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            kept.push((tcp, udp, port));
        }
    }
    let ports: Vec<_> = kept.iter().map(|(_, _, port)| *port).collect();
    ports.try_into().ok().context("as many as were asked for")
}
