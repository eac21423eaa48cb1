//! How long documents of ten thousand components take over HTTP, and for how long the driver pauses for one.
//!
//! ```text
//! cargo run --profile ci -p diagnostics --example many_components
//! ```

#![expect(clippy::print_stdout, reason = "an example says what it measures")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use diagnostics::Diagnostics;
use lifecycle_core::engine::{Operation, Why};
use lifecycle_core::{BoxError, Registration, component};
use lifecycle_runtime::{Orchestrator, Order};

/// How many components there are, and how often each is measured.
const COMPONENTS: usize = 10_000;
const ROUNDS: usize = 30;

/// Ten layers: each component needs two of the layer before.
fn registrations() -> impl Iterator<Item = Registration> {
    let layer = COMPONENTS / 10;
    (0..COMPONENTS).map(move |place| {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let before = place.checked_sub(layer);
        let second = before.map(|it| it.saturating_sub(1));
        let needs = before.into_iter().chain(second);
        Registration::new(format!("component-{place}"), idle)
            .depends_on(needs.map(|it| format!("component-{it}")))
    })
}

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut builder = Orchestrator::builder();
        let diagnostics = Diagnostics::builder(builder.handle())
            .bind("127.0.0.1:0".parse()?)
            .build();
        builder.register(diagnostics.registration());
        builder.registrations(registrations());
        let handle = builder.build()?.spawn();
        let begin = Instant::now();
        handle.start().await?;
        println!("{COMPONENTS} components started in {:?}", begin.elapsed());

        let mut snapshots = Vec::new();
        let mut rehearsals = Vec::new();
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            drop(handle.snapshot().await?);
            snapshots.push(begin.elapsed());
            let begin = Instant::now();
            let order = Order::new(Operation::Restart, "component-9999");
            drop(handle.rehearse(order).await?);
            rehearsals.push(begin.elapsed());
        }
        report("a snapshot, the pause of the driver included", snapshots);
        report("a rehearsal, the copy of the engine included", rehearsals);

        let snapshot = handle.snapshot().await?;
        let explained = (0..ROUNDS).map(|_| {
            let begin = Instant::now();
            drop(Why::of(&snapshot));
            begin.elapsed()
        });
        report("explanations of all", explained.collect());

        let address = diagnostics.address().borrow().ok_or("it listens")?;
        for path in [
            "/livez",
            "/control/lifecycle",
            "/control/lifecycle/components/component-1/why",
            "/control/lifecycle/graph",
            "/control/lifecycle/timeline",
        ] {
            let (times, bytes) =
                tokio::task::spawn_blocking(move || measure(address, path)).await??;
            report(&format!("GET {path}, {bytes} bytes"), times);
        }
        handle.stop().await?;
        Ok(())
    })
}

fn measure(address: SocketAddr, path: &str) -> std::io::Result<(Vec<Duration>, usize)> {
    let mut times = Vec::new();
    let mut answer = Vec::new();
    for _ in 0..ROUNDS {
        answer.clear();
        let begin = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        stream.read_to_end(&mut answer)?;
        times.push(begin.elapsed());
    }
    Ok((times, answer.len()))
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {median:?}, worst {worst:?}");
}
