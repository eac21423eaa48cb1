//! [`Mesh`]: a host with dozens of members of gossip, of scopes to lead and of exporters, where a shipped one has one of each.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lifecycle_core::engine::ComponentState;
use lifecycle_core::{BoxError, Criticality, Defaults, Nanos, Registration};
use lifecycle_runtime::{DriverGone, OrchestratorBuilder};
use mesh::gossip::{self, Keys, Members, Membership as _, Status};
use mesh::leadership::{self, Leadership, MemoryStore, Observer};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::scene::{Found, PATIENCE, Playing, Scene, Stage, free_address};

/// How often who waits for all of them looks.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Mesh {
    /// How many members of gossip
    #[arg(long, default_value_t = 64)]
    members: usize,
    /// How many scopes, each with a component that leads it
    #[arg(long, default_value_t = 64)]
    scopes: usize,
    /// How many listeners that show the metrics
    #[arg(long, default_value_t = 64)]
    exporters: usize,
}

/// A mesh with what tells how it stands.
pub(crate) struct Prepared {
    mesh: Mesh,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    members: Vec<Members>,
    observers: Vec<Observer>,
    /// Every third component of each kind.
    restarted: Vec<String>,
}

impl Mesh {
    pub(crate) fn prepared(self) -> Prepared {
        Prepared {
            mesh: self,
            parts: Mutex::default(),
        }
    }
}

impl Scene for Prepared {
    fn describe(&self) -> Value {
        let Mesh {
            members,
            scopes,
            exporters,
        } = self.mesh;
        json!({ "name": "mesh", "members": members, "scopes": scopes, "exporters": exporters })
    }

    fn components(&self) -> usize {
        self.mesh.members + self.mesh.scopes + self.mesh.exporters
    }

    fn wire(&self, host: &mut OrchestratorBuilder, stage: &Stage) -> Result<(), BoxError> {
        host.defaults(Defaults {
            shutdown_timeout: Nanos::from_secs(20),
            ..Defaults::default()
        });
        let mut parts = self.parts();
        self.wire_gossip(host, &mut parts)?;
        self.wire_leadership(host, stage, &mut parts)?;
        for index in 0..self.mesh.exporters {
            let mut registration = (stage.exporter)().registration();
            registration.name = format!("exporter-{index}");
            // Only the first one of a host is before all others.
            registration.before_all = false;
            registration.criticality = Criticality::Degradable;
            parts.add(host, index, registration);
        }
        Ok(())
    }

    fn play<'a>(&'a self, stage: &'a Stage, found: &'a mut Found) -> Playing<'a> {
        Box::pin(self.meet_and_restart(stage, found))
    }
}

impl Prepared {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wire_gossip(
        &self,
        host: &mut OrchestratorBuilder,
        parts: &mut Parts,
    ) -> Result<(), BoxError> {
        let known = [free_port()?, free_port()?];
        let keys = Keys::new(key().parse()?);
        for index in 0..self.mesh.members {
            let options = gossip::Options {
                node_id: Some(node(index)),
                bind: known.get(index).copied().unwrap_or_else(free_address),
                seeds: known.map(|it| it.to_string()).into(),
                gossip_interval: Nanos::from_millis(500),
                keys: Some(keys.clone()),
                ..gossip::Options::default()
            };
            let (mut registration, members) = gossip::registration(options)?;
            registration.name = gossip_name(index);
            parts.members.push(members);
            parts.add(host, index, registration);
        }
        Ok(())
    }

    fn wire_leadership(
        &self,
        host: &mut OrchestratorBuilder,
        stage: &Stage,
        parts: &mut Parts,
    ) -> Result<(), BoxError> {
        let store = MemoryStore::new();
        for index in 0..self.mesh.scopes {
            let member = index % self.mesh.members.max(1);
            let options = leadership::Options {
                node_id: Some(node(member)),
                scopes: vec![format!("shard/hyperscale/{index}")],
                ..leadership::Options::default()
            };
            let leadership = Leadership::new(&options, Arc::new(store.clone()))?;
            let mut leadership = leadership.on(stage.handle.clone());
            if let Some(members) = parts.members.get(member) {
                leadership = leadership.among(members.clone());
            }
            parts.observers.push(leadership.observer());
            let mut registration = leadership.registration();
            registration.name = format!("{}-{index}", leadership::NAME);
            for edge in &mut registration.dependencies {
                edge.name = gossip_name(member);
            }
            parts.add(host, index, registration);
        }
        Ok(())
    }

    async fn meet_and_restart(&self, stage: &Stage, found: &mut Found) -> Result<(), DriverGone> {
        self.meet("at_first", found).await;
        let names = self.parts().restarted.clone();
        found.measure("restarted_at_once", names.len());
        let mut restarts = JoinSet::new();
        for name in names {
            let handle = stage.handle.clone();
            restarts.spawn(async move {
                let begun = Instant::now();
                let outcome = handle.restart(&name).await;
                (name, outcome, begun.elapsed())
            });
        }
        let mut longest = Duration::ZERO;
        while let Some(restarted) = restarts.join_next().await {
            let (name, outcome, took) = restarted.expect("it is neither aborted nor panics");
            longest = longest.max(took);
            found.expect(outcome.is_ok(), || {
                format!("\"{name}\" was not restarted: {outcome:?}")
            });
        }
        found.measure("longest_restart_ms", milliseconds(longest));
        self.meet("after_restarts", found).await;
        let running = stage.handle.status().get().count(ComponentState::Running);
        // The diagnostics are one more.
        let all = self.components() + 1;
        found.expect(running == all, || format!("{running} of {all} run"));
        Ok(())
    }

    /// Waits until every member knows all the others, and every scope is led.
    async fn meet(&self, when: &str, found: &mut Found) {
        let begun = Instant::now();
        let mut known = None;
        let mut led = None;
        while begun.elapsed() < PATIENCE && (known.is_none() || led.is_none()) {
            let now = milliseconds(begun.elapsed());
            if self.all_know_all() {
                known.get_or_insert(now);
            }
            if self.all_are_led() {
                led.get_or_insert(now);
            }
            tokio::time::sleep(LOOK).await;
        }
        for (what, after) in [("all_know_all", known), ("all_are_led", led)] {
            found.expect(after.is_some(), || {
                format!("{what} {when}: not within {PATIENCE:?}")
            });
            found.measure(&format!("{what}_{when}_ms"), after);
        }
    }

    fn all_know_all(&self) -> bool {
        let knows_all = |it: &Members| {
            let view = it.view();
            let alive = view.peers.iter().filter(|it| it.status == Status::Alive);
            alive.count() == self.mesh.members
        };
        self.parts().members.iter().all(knows_all)
    }

    fn all_are_led(&self) -> bool {
        let is_led = |it: &Observer| it.snapshot().leaders.iter().all(|it| it.is_local);
        self.parts().observers.iter().all(is_led)
    }
}

impl Parts {
    fn add(&mut self, host: &mut OrchestratorBuilder, index: usize, registration: Registration) {
        if index.is_multiple_of(3) {
            self.restarted.push(registration.name.clone());
        }
        host.register(registration);
    }
}

/// Known to everybody: it keeps nothing secret here, and costs what one does that is.
fn key() -> String {
    let bytes = (1..=32_u8).map(|it| format!("{:02x}", it.wrapping_mul(37)));
    format!("1:{}", bytes.collect::<String>())
}

fn node(index: usize) -> String {
    format!("node-{index}")
}

fn gossip_name(index: usize) -> String {
    format!("{}-{index}", gossip::NAME)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A port that others can be told of before it is open.
fn free_port() -> std::io::Result<SocketAddr> {
    UdpSocket::bind(free_address())?.local_addr()
}
