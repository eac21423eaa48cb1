//! [`Cast`]: the processes of a soak, and what is done to them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::fault::{Fault, Target};
use super::keys::KeyFile;
use super::leaders::Leaders;
use super::station::{Standing, Station};
use super::{Findings, Stations};
use crate::hosts::{Host, Programs, free_ports, get, rest};

/// How long a host may take to be ready again, to know the others, and to have a leader.
const RECOVERY: Duration = Duration::from_secs(30);

/// How long a host may take to end after SIGTERM.
const END: Duration = Duration::from_secs(30);

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(2);

const PLANES: usize = 3;
const DISPATCHERS: usize = 2;

const OF_PLANES: &[&str] = &["mesh-gossip", "mesh-leadership", "control-plane:http"];
const OF_DISPATCHERS: &[&str] = &["http-inbound:0", "grpc-inbound:0"];

/// Three control-plane hosts, two dispatchers, and etcd.
pub(super) struct Cast {
    folder: PathBuf,
    programs: Programs,
    etcd: Host,
    etcd_ports: [u16; 2],
    keys: KeyFile,
    hosts: Vec<Member>,
}

/// A host, and how it is started anew.
struct Member {
    station: Arc<Station>,
    host: Host,
    arguments: Vec<String>,
}

impl Cast {
    pub(super) fn start(programs: Programs, folder: PathBuf) -> Result<Self> {
        let etcd_ports = free_ports()?;
        let keys = KeyFile::new(folder.join("gossip.keys"))?;
        let ports: [u16; 3 * PLANES] = free_ports()?;
        let common = plane(&ports, &folder.join("gossip.keys"), etcd_ports[0]);
        fs::write(folder.join("plane.toml"), common)?;
        let etcd = start_etcd(&folder, etcd_ports)?;
        let mut cast = Self {
            folder,
            programs,
            etcd,
            etcd_ports,
            keys,
            hosts: Vec::new(),
        };
        for index in 0..PLANES {
            let [diagnostics, http, gossip] = [0, 1, 2].map(|it| loopback(ports[3 * index + it]));
            let name = format!("plane-{}", index + 1);
            let config = cast.folder.join("plane.toml").display().to_string();
            let arguments = [
                ["--config", &config],
                ["--node-id", &name],
                ["--diagnostics", &diagnostics.to_string()],
                ["--http", &http.to_string()],
                ["--gossip", &gossip.to_string()],
            ];
            let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
            cast.add(Station::new(name, diagnostics, None, index == 0), arguments)?;
        }
        for index in 0..DISPATCHERS {
            let [diagnostics, http, grpc] = free_ports()?.map(loopback);
            let name = format!("dispatcher-{}", index + 1);
            let arguments = [
                ["--diagnostics", &diagnostics.to_string()],
                ["--http", &http.to_string()],
                ["--grpc", &grpc.to_string()],
            ];
            let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
            cast.add(
                Station::new(name, diagnostics, Some(http), index == 0),
                arguments,
            )?;
        }
        for station in cast.stations() {
            let ready = by(Instant::now() + RECOVERY, || station.answers("/readyz"));
            let log = cast.folder.display();
            ensure!(
                ready,
                "{} does not become ready; its log is in {log}",
                station.name
            );
        }
        Ok(cast)
    }

    fn add(&mut self, station: Station, arguments: Vec<String>) -> Result<()> {
        let host = self.launch(&station, &arguments)?;
        self.hosts.push(Member {
            station: Arc::new(station),
            host,
            arguments,
        });
        Ok(())
    }

    fn launch(&self, station: &Station, arguments: &[String]) -> Result<Host> {
        let program = match station.is_plane() {
            true => "control-plane-host",
            false => "dispatcher",
        };
        let mut command = self.programs.command(program);
        command.args(arguments);
        let log = self.folder.join(format!("{}.log", station.name));
        let host = Host::start(&station.name, command, &log)?;
        station.replace_process(host.id());
        Ok(host)
    }

    pub(super) fn stations(&self) -> Stations {
        self.hosts
            .iter()
            .map(|it| Arc::clone(&it.station))
            .collect()
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        let target = |it: &Member| Target {
            is_veteran: it.station.is_veteran,
            components: match it.station.is_plane() {
                true => OF_PLANES,
                false => OF_DISPATCHERS,
            },
        };
        self.hosts.iter().map(target).collect()
    }

    /// Does what is to be done, to the end of it.
    ///
    /// # Errors
    ///
    /// When the soak cannot go on: a process cannot be started or sent a signal.
    pub(super) fn suffer(&mut self, fault: &Fault, findings: &Findings) -> Result<()> {
        if let Some(at) = fault.target() {
            // Who drains or is cordoned has to say so.
            let standing = match fault {
                Fault::Drain(_) => Standing::Refusing,
                Fault::Cordon(_) => Standing::Well,
                _ => Standing::Disturbed,
            };
            self.hosts[at].station.stand(standing);
        }
        match *fault {
            Fault::Terminate(at) => {
                self.hosts[at].host.signal("TERM")?;
                let status = self.hosts[at].host.exit(END)?;
                if status.code() != Some(0) {
                    let name = &self.hosts[at].station.name;
                    findings.add(&format!("{name} ended with {status} after SIGTERM"));
                }
                self.replace(at)?;
            }
            Fault::Kill(at) => {
                self.hosts[at].host.signal("KILL")?;
                self.hosts[at].host.exit(END)?;
                self.replace(at)?;
            }
            Fault::Pause(at, length) => {
                self.hosts[at].host.signal("STOP")?;
                rest(length);
                self.hosts[at].host.signal("CONT")?;
            }
            Fault::Drain(at) => {
                self.order(at, &["drain", "--wait", "--reason", "soak"], findings)?;
                let ready = self.hosts[at].station.answers("/readyz");
                if ready {
                    let name = &self.hosts[at].station.name;
                    findings.add(&format!("{name} is ready although it is drained"));
                }
                self.order(at, &["resume", "--wait", "--reason", "soak"], findings)?;
            }
            Fault::Cordon(at) => {
                self.order(at, &["cordon", "--reason", "soak"], findings)?;
                self.order(at, &["uncordon", "--reason", "soak"], findings)?;
            }
            Fault::Restart(at, component) => {
                let order = ["restart", component, "--force", "--reason", "soak"];
                self.order(at, &order, findings)?;
            }
            Fault::KillEtcd(length) => {
                self.etcd.signal("KILL")?;
                self.etcd.exit(END)?;
                rest(length);
                self.etcd = start_etcd(&self.folder, self.etcd_ports)?;
            }
            Fault::PauseEtcd(length) => {
                self.etcd.signal("STOP")?;
                rest(length);
                self.etcd.signal("CONT")?;
            }
            Fault::RotateKeys => self.keys.rotate()?,
        }
        Ok(())
    }

    fn replace(&mut self, at: usize) -> Result<()> {
        let Member {
            station, arguments, ..
        } = &self.hosts[at];
        let host = self.launch(station, arguments)?;
        self.hosts[at].host = host;
        Ok(())
    }

    /// By the command line, as an operator would.
    fn order(&self, at: usize, words: &[&str], findings: &Findings) -> Result<()> {
        let station = &self.hosts[at].station;
        let output = self
            .programs
            .command("lifecyclectl")
            .args(words)
            .args(["-u", &station.diagnostics.to_string()])
            .output()
            .context("lifecyclectl cannot be run")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            findings.add(&format!(
                "{words:?} of {} ended with {}: {}",
                station.name,
                output.status,
                said.trim()
            ));
        }
        Ok(())
    }

    /// Waits until everything is as it was: all ready, all known to each other, and one leads. Gives how long that took.
    pub(super) fn settle(&mut self, leaders: &Leaders, findings: &Findings) -> Duration {
        let begun = Instant::now();
        for member in &mut self.hosts {
            let station = &member.station;
            if !by(begun + RECOVERY, || station.answers("/readyz")) {
                findings.add(&format!("{} is not ready after {RECOVERY:?}", station.name));
            }
            if let Ok(true) = member.host.is_over() {
                findings.add(&format!("{} has ended by itself", station.name));
            }
            station.stand(Standing::Well);
        }
        let planes = self.hosts.iter().filter(|it| it.station.is_plane());
        for plane in planes {
            if !by(begun + RECOVERY, || plane.station.peers() == Some(PLANES)) {
                findings.add(&format!(
                    "{} knows of {:?} hosts after {RECOVERY:?}",
                    plane.station.name,
                    plane.station.peers()
                ));
            }
        }
        if !by(begun + RECOVERY, || leaders.led_since(begun)) {
            findings.add(&format!("nobody leads for {RECOVERY:?}"));
        }
        begun.elapsed()
    }

    /// Ends all hosts, and then etcd.
    pub(super) fn stop(mut self, findings: &Findings) -> Result<()> {
        for member in &self.hosts {
            member.station.stand(Standing::Disturbed);
            member.host.signal("TERM")?;
        }
        for member in &mut self.hosts {
            let status = member.host.exit(END)?;
            if status.code() != Some(0) {
                let name = &member.station.name;
                findings.add(&format!("{name} ended with {status} at the end"));
            }
        }
        Ok(())
    }
}

impl Station {
    fn answers(&self, path: &str) -> bool {
        get(self.diagnostics, path, PROBE).is_ok_and(|it| it.status == 200)
    }

    /// How many members it takes for alive.
    fn peers(&self) -> Option<usize> {
        let answer = get(self.diagnostics, "/control/peers", PROBE).ok()?;
        let document: Value = serde_json::from_str(&answer.body).ok()?;
        let peers = document["peers"].as_array()?.iter();
        Some(peers.filter(|it| it["status"] == "alive").count())
    }
}

/// Whether it holds before that moment.
fn by(until: Instant, mut holds: impl FnMut() -> bool) -> bool {
    while !holds() {
        if Instant::now() > until {
            return false;
        }
        rest(Duration::from_millis(50));
    }
    true
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// What the control-plane hosts have in common.
fn plane(ports: &[u16; 3 * PLANES], keys: &Path, etcd: u16) -> String {
    let seeds = ports
        .chunks_exact(3)
        .map(|it| format!("\"127.0.0.1:{}\"", it[2]));
    let seeds: Vec<_> = seeds.collect();
    format!(
        "[gossip]\nseeds = [{}]\nkeys-file = {keys:?}\ngossip-interval = \"500ms\"\n\n\
         [leadership.store]\nkind = \"etcd\"\nendpoints = [\"http://127.0.0.1:{etcd}\"]\n",
        seeds.join(", ")
    )
}

/// With the data that it had.
fn start_etcd(folder: &Path, [client, peer]: [u16; 2]) -> Result<Host> {
    let (client_url, peer_url) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let mut command = Command::new("etcd");
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", &client_url])
        .args(["--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url])
        .args(["--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("default={peer_url}")])
        .stdin(Stdio::null());
    let etcd = Host::start("etcd", command, &folder.join("etcd.log"))?;
    let healthy = || get(loopback(client), "/health", PROBE).is_ok_and(|it| it.status == 200);
    ensure!(
        by(Instant::now() + RECOVERY, healthy),
        "etcd does not come up"
    );
    Ok(etcd)
}
