//! [`Running`]: a process with its children, and the processor time that they have taken.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many units of the system's accounts are a second. It is the same on every Linux that we know.
const TICKS: u64 = 100;

/// Ended when this is dropped.
#[derive(Debug)]
pub(super) struct Running(pub(super) Child);

impl Running {
    /// Starts a program, and waits until it listens on these ports of this machine.
    pub(super) fn start(mut command: Command, ports: &[u16]) -> Result<Self> {
        let child = command.spawn();
        let what = || format!("cannot run {}", command.get_program().display());
        let mut running = Self(child.with_context(what)?);
        for port in ports {
            running.wait_for(*port)?;
        }
        Ok(running)
    }

    fn wait_for(&mut self, port: u16) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("it has ended with {status} before it listened on {port}");
            }
            if Instant::now() > until {
                bail!("nothing listens on {port} after {PATIENCE:?}");
            }
            rest();
        }
        Ok(())
    }

    /// What it and its children have taken so far, to a hundredth of a second each.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let own = self.0.id();
        let mut ticks = 0;
        for entry in fs::read_dir("/proc")? {
            let stat = fs::read_to_string(entry?.path().join("stat"));
            // Others come and go; what is no process has no such file.
            let Some(it) = stat.ok().as_deref().and_then(Account::read) else {
                continue;
            };
            if it.id == own || it.parent == own {
                ticks += it.ticks;
            }
        }
        Ok(Duration::from_millis(ticks * 1_000 / TICKS))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // By its parent's signal alone would nginx's workers outlive it.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            rest();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of `/proc/ID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Account {
    fn read(stat: &str) -> Option<Self> {
        // The name is in brackets, and may have some itself.
        let (head, rest) = stat.rsplit_once(") ")?;
        let id = head.split(' ').next()?.parse().ok()?;
        let fields: Vec<_> = rest.split(' ').collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            id,
            parent: fields.get(1)?.parse().ok()?,
            ticks: ticks(11)? + ticks(12)?,
        })
    }
}

/// Nobody tells when another program listens, or ends within a time limit.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn rest() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A port that nothing listens on, for programs that do not say which one they took.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_whatever_the_process_is_called() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 3 0 1 2 3";
        let expected = Account {
            id: 42,
            parent: 7,
            ticks: 281,
        };
        assert_eq!(Account::read(stat), Some(expected));
        assert_eq!(Account::read("no account"), None);
    }
}
