//! Against real orchestrators with real diagnostics.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use diagnostics::{Diagnostics, DiagnosticsBuilder};
use lifecycle_core::{Component, Registration, Retry, component};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::kit::{Run, command};

/// A host in this process.
pub(crate) struct Host {
    runtime: Runtime,
    handle: Handle,
    pub(crate) address: SocketAddr,
}

impl Host {
    /// Begins to start these, beside the diagnostics.
    fn starting(registrations: Vec<Registration>) -> Self {
        Self::starting_with(registrations, |it| it)
    }

    pub(crate) fn starting_with(
        registrations: Vec<Registration>,
        configure: impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder,
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut builder = Orchestrator::builder();
        let any_port = "127.0.0.1:0".parse().unwrap();
        let diagnostics = Diagnostics::builder(builder.handle()).bind(any_port);
        let diagnostics = configure(diagnostics).build();
        builder.register(diagnostics.registration());
        builder.registrations(registrations);
        let entered = runtime.enter();
        let handle = builder.build().unwrap().spawn();
        drop(entered);
        let begun = handle.clone();
        runtime.spawn(async move { begun.start().await.map(drop) });
        let mut address = diagnostics.address();
        let bound = async { address.wait_for(Option::is_some).await.unwrap().unwrap() };
        let address =
            runtime.block_on(async { tokio::time::timeout(crate::server::DEADLINE, bound).await });
        Self {
            runtime,
            handle,
            address: address.unwrap(),
        }
    }

    fn run(&self, line: &str) -> Run {
        let mut command = command();
        command.env("LIFECYCLECTL_ENDPOINT", self.address.to_string());
        command.args(line.split_whitespace());
        command.output().unwrap().into()
    }
}

pub(crate) fn good() -> Component {
    component::from_fn(async |_| Ok(()), async |_| Ok(()))
}

fn shop(db: Component) -> Vec<Registration> {
    vec![
        Registration::new("db", db).start_retry(Retry::attempts(1)),
        Registration::new("http-inbound:0", good()).depends_on(["orders"]),
        Registration::new("orders", good()).depends_on(["db"]),
    ]
}

#[test]
fn a_host_that_is_up_is_ready_and_shows_its_tree() {
    let host = Host::starting(shop(good()));
    host.run("wait --for ready --timeout 20s").ended(0);
    let status = host.run("status").ended(0).stdout;
    assert!(status.starts_with("ready       yes\n"), "{status}");
    assert!(status.contains("components  4: 4 running\n"), "{status}");
    let tree = host.run("tree").ended(0).stdout;
    let (_, below) = tree.split_once("http-inbound:0").unwrap();
    assert!(below.contains("└─ orders"), "{tree}");
    assert!(below.contains("   └─ db"), "{tree}");
    let all = host.run("status -a").ended(0).stdout;
    assert!(all.contains("diagnostics"), "{all}");
}

#[test]
fn contract_69_a_real_host_is_drained_and_resumed_by_the_words_of_the_original() {
    let host = Host::starting(shop(good()));
    host.run("wait --for ready --timeout 20s").ended(0);
    let active = host.run("mesh upgrade status").ended(0).stdout;
    assert!(active.starts_with("state    active\n"), "{active}");
    host.run("mesh upgrade drain --reason disk").ended(0);
    host.run("wait --for drained --timeout 20s").ended(0);
    let drained = host.run("mesh upgrade status").ended(0).stdout;
    assert!(
        drained.starts_with("state    drained, cordoned\n"),
        "{drained}"
    );
    assert!(drained.contains("reason   disk\n"), "{drained}");
    host.run("mesh upgrade resume").ended(0);
    host.run("wait --for ready --timeout 20s").ended(0);
}

#[test]
fn a_real_host_explains_itself_and_restarts_what_it_is_told_to() {
    let host = Host::starting(shop(good()));
    host.run("wait --for ready --timeout 20s").ended(0);
    let why = host.run("why orders").ended(0).stdout;
    assert!(why.starts_with("root cause  none\n"), "{why}");
    let plan = host.run("plan restart db").ended(0).stdout;
    assert!(plan.contains("stops 3 components and starts 3"), "{plan}");
    let chain = host.run("chain").ended(0).stdout;
    assert!(chain.contains("http-inbound:0"), "{chain}");
    let restarted = host.run("restart db --wait --timeout 20s").ended(0).stdout;
    assert!(restarted.contains("restart of db succeeded"), "{restarted}");
    host.run("restart dv").ended(3);
}

#[test]
fn a_host_on_its_way_up_is_waited_for() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let db = component::from_fn(
        move |_| {
            let held = Arc::clone(&held);
            async move {
                held.notified().await;
                Ok(())
            }
        },
        async |_| Ok(()),
    );
    let host = Host::starting(shop(db));
    host.run("wait --for ready --timeout 300ms")
        .failed(2, "orchestrator:starting");
    let status = host.run("status").ended(1).stdout;
    assert!(status.contains("waits for db (starting)"), "{status}");
    let mut command = command();
    command.args([
        "-u",
        &host.address.to_string(),
        "wait",
        "--for",
        "ready",
        "--timeout",
        "20s",
    ]);
    let waiting = command.stdout(Stdio::piped()).spawn().unwrap();
    gate.notify_one();
    Run::from(waiting.wait_with_output().unwrap()).ended(0);
}

#[test]
fn a_host_that_stops_is_waited_for_until_it_is_gone() {
    let host = Host::starting(shop(good()));
    host.run("wait --for ready --timeout 20s").ended(0);
    host.run("wait --for stopped --timeout 200ms")
        .failed(2, "it is running");
    let handle = host.handle.clone();
    let stopped = host.runtime.block_on(async move {
        tokio::time::timeout(Duration::from_secs(20), handle.stop()).await
    });
    stopped.unwrap().unwrap();
    host.run("wait --for stopped --timeout 20s").ended(0);
}

#[test]
fn what_a_host_does_not_serve_exits_with_3() {
    let host = Host::starting(Vec::new());
    host.run("peers")
        .failed(3, "Not Found: there is nothing at /control/peers");
}
