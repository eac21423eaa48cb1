//! [`Fleet`]: many hosts on one machine, with gossip among them and one leader.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::Outcome;
use crate::hosts::{Accounts, Host, Programs, free_ports, get, milliseconds, rest};

/// How long they may take to start, to know each other, and to stop, each.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// So many control-plane hosts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet {
    pub(super) hosts: usize,
}

/// A host, and where it is asked.
struct Member {
    host: Host,
    diagnostics: SocketAddr,
}

impl Fleet {
    pub(super) fn run(self, name: &str, programs: &Programs, folder: &Path) -> Result<Outcome> {
        let folder = folder.join(name.replace(' ', "-"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let begun = Instant::now();
        let mut members = self.start(programs, &folder)?;
        let start = begun.elapsed();
        self.meet(&members)?;
        let met = begun.elapsed();
        let leaders = led(&members)?;
        let mut faults = Vec::new();
        if leaders != 1 {
            faults.push(format!("{leaders} hosts lead"));
        }
        let mut resident = Vec::new();
        let mut share = 0;
        for it in &members {
            resident.push(Accounts::of(it.host.id())?.resident);
            share += Accounts::share(it.host.id())?;
        }
        let largest = resident.iter().copied().max().unwrap_or_default();
        let stop = self.stop(&mut members, &mut faults)?;
        Ok(Outcome {
            start: Some(milliseconds(start)),
            stop: Some(milliseconds(stop)),
            peak: largest,
            remark: format!(
                "all know all after {} ms, {:.1} MiB each at most, {:.1} MiB together",
                milliseconds(met),
                mebibytes(largest),
                mebibytes(share)
            ),
            faults,
            document: json!({
                "hosts": self.hosts,
                "started_ms": milliseconds(start),
                "all_know_all_ms": milliseconds(met),
                "leaders": leaders,
                "resident_kib": resident,
                "together_kib": share,
                "stopped_ms": milliseconds(stop),
            }),
        })
    }

    /// All at once; the first two are known to the others.
    fn start(self, programs: &Programs, folder: &Path) -> Result<Vec<Member>> {
        let known: [u16; 2] = free_ports()?;
        let leases = folder.join("leases.db");
        let mut hosts = Vec::new();
        for index in 0..self.hosts {
            let name = format!("plane-{index}");
            let port = known.get(index).copied().unwrap_or_default();
            let mut command = programs.command("control-plane-host");
            command
                .args(["--diagnostics", "127.0.0.1:0", "--http", "127.0.0.1:0"])
                .args(["--gossip", &format!("127.0.0.1:{port}"), "--node-id", &name])
                .args(["--set", "leadership.store.kind=sqlite"])
                .arg("--set")
                .arg(format!("leadership.store.path={}", leases.display()));
            for port in known {
                command.args(["--seed", &format!("127.0.0.1:{port}")]);
            }
            hosts.push(Host::start(
                &name,
                command,
                &folder.join(format!("{name}.log")),
            )?);
        }
        let mut members = Vec::new();
        for mut host in hosts {
            let diagnostics = host.address("diagnostics", PATIENCE)?;
            members.push(Member { host, diagnostics });
        }
        Ok(members)
    }

    /// Waits until each of them knows that all are alive.
    fn meet(self, members: &[Member]) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        for it in members {
            loop {
                let alive = alive(it)?;
                if alive == self.hosts {
                    break;
                }
                if Instant::now() > until {
                    bail!("{} knows of {alive} hosts after {PATIENCE:?}", it.host.name);
                }
                rest(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// All at once, again.
    fn stop(self, members: &mut [Member], faults: &mut Vec<String>) -> Result<Duration> {
        let asked = Instant::now();
        for it in &*members {
            it.host.signal("TERM")?;
        }
        for it in members {
            let status = it.host.exit(PATIENCE)?;
            if !status.success() {
                faults.push(format!("{} ended with {status}", it.host.name));
            }
        }
        Ok(asked.elapsed())
    }
}

fn alive(member: &Member) -> Result<usize> {
    let peers = document(member, "/control/peers")?;
    let peers = peers["peers"].as_array().map_or(&[][..], Vec::as_slice);
    let alive = peers.iter().filter(|it| it["status"] == "alive");
    Ok(alive.count())
}

/// How many of them say that they lead; somebody has to within the patience.
fn led(members: &[Member]) -> Result<usize> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut leaders = 0;
        for it in members {
            leaders +=
                usize::from(document(it, "/control/leaders")?["leaders"][0]["isLocal"] == true);
        }
        if leaders > 0 || Instant::now() > until {
            return Ok(leaders);
        }
        rest(Duration::from_millis(50));
    }
}

fn document(member: &Member, path: &str) -> Result<Value> {
    let answer = get(member.diagnostics, path, ANSWER)?;
    ensure!(answer.status == 200, "{path}: {}", answer.status);
    Ok(serde_json::from_str(&answer.body)?)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
