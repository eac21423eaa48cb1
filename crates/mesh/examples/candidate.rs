//! A process that stands for leadership, and writes to a shared resource while it leads.
//!
//! ```sh
//! cargo run -q -p mesh --example candidate -- a resource.db sqlite leases.db
//! cargo run -q -p mesh --example candidate --features etcd -- a resource.db etcd http://127.0.0.1:2379
//! ```
//!
//! Each write carries the fencing token of its tenure, and the resource refuses those that are older than one it has seen. What
//! happens is told on standard output, one line each, with the time since the machine was booted in milliseconds.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lifecycle_core::component::service;
use lifecycle_core::{BoxError, Nanos, Registration, Retry, ServiceContext};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};
use mesh::leadership::{
    EtcdOptions, EventKind, Leadership, Notice, Observer, Options, Scope, StoreOptions, Tenure,
};
use rusqlite::{Connection, params};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [node, resource, kind, place] = arguments.as_slice() else {
        say("usage: candidate NODE RESOURCE sqlite|etcd PLACE");
        return ExitCode::from(64);
    };
    let store = match kind.as_str() {
        "sqlite" => StoreOptions::Sqlite { path: place.into() },
        _ => StoreOptions::Etcd(EtcdOptions {
            endpoints: place.split(',').map(str::to_owned).collect(),
            ..EtcdOptions::default()
        }),
    };
    Host::main(HostConfig::default(), |builder| {
        register(builder, node, resource.into(), &store)
    })
}

fn register(
    builder: &mut OrchestratorBuilder,
    node: &str,
    resource: PathBuf,
    store: &StoreOptions,
) -> Result<(), BoxError> {
    let options = Options {
        node_id: Some(node.to_owned()),
        ..Options::default()
    };
    let leadership = Leadership::new(&options, store.open()?)?.on(builder.handle());
    let observer = leadership.observer();
    let scope = Scope::global_control();
    builder.register(leadership.gated(&scope, writer(observer.clone(), resource))?);
    builder.register(leadership.registration());
    builder.register(Registration::new(
        "teller",
        service(move |cx| tell(cx, observer.clone())),
    ));
    Ok(())
}

/// Writes as long as this node leads. All that its end may take fits in the gate's margin of a second.
fn writer(observer: Observer, resource: PathBuf) -> Registration {
    let write = move |cx: ServiceContext| {
        let (observer, resource) = (observer.clone(), resource.clone());
        async move {
            let tenure = observer.tenure(&Scope::global_control());
            let tenure = tenure.ok_or("the tenure has ended already")?;
            cx.ready();
            let written = cx
                .token()
                .run_until_cancelled(write_on(tenure, &resource))
                .await;
            written.unwrap_or(Ok(()))
        }
    };
    Registration::new("writer", service(write))
        .stop_retry(Retry::none().with_attempt_timeout(Duration::from_millis(300)))
        .abort_grace(Nanos::from_millis(50))
        .dispose_timeout(Nanos::from_millis(100))
}

async fn write_on(tenure: Tenure, resource: &std::path::Path) -> Result<(), BoxError> {
    let mut resource = Resource::open(resource)?;
    let token = tenure.token.get();
    let mut told = false;
    loop {
        let accepted = resource.write(token)?;
        if !accepted {
            say(format_args!("refused {token}"));
            return Err("a newer leader has written".into());
        }
        if !std::mem::replace(&mut told, true) {
            say(format_args!("writes {token}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What only a leader may write: each write is kept, with its token and the time.
struct Resource(Connection);

impl Resource {
    fn open(path: &std::path::Path) -> Result<Self, BoxError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = OFF;
             CREATE TABLE IF NOT EXISTS write (token INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;",
        )?;
        Ok(Self(connection))
    }

    /// Whether the write was accepted: in one statement, so that no newer leader can come in between.
    fn write(&mut self, token: u64) -> Result<bool, BoxError> {
        let write = "INSERT INTO write (token, at)
                     SELECT ?1, ?2 WHERE ?1 >= (SELECT coalesce(max(token), 0) FROM write)";
        let written = self
            .0
            .execute(write, params![token.cast_signed(), since_boot()])?;
        Ok(written == 1)
    }
}

/// Tells what happens to leadership, but for renewals.
async fn tell(cx: ServiceContext, observer: Observer) {
    let mut events = observer.subscribe();
    cx.ready();
    let stopped = cx.token();
    while let Some(Some(notice)) = stopped.run_until_cancelled(events.next()).await {
        match notice {
            Notice::Snapshot(snapshot) => {
                let known = snapshot.leaders.iter().filter_map(|it| it.fence_token);
                known.for_each(|it| say(format_args!("observed {it}")));
            }
            Notice::Event(event) if event.kind != EventKind::Renewed => {
                let token = event.fence_token.map_or(0, |it| it.get());
                say(format_args!("{} {token}", event.kind.as_str()));
            }
            Notice::Event(_) | Notice::Missed(_) => {}
        }
    }
}

fn since_boot() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

fn say(line: impl std::fmt::Display) {
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{} {line}", since_boot());
}
