//! What each kind of edge makes of its dependent while the dependency is down.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example edges
//! ```

use std::io::Write as _;

use lifecycle_core::component::from_fn;
use lifecycle_core::engine::{ComponentState, Snapshot};
use lifecycle_core::{BoxError, ComponentId, Criticality, Dependency, Registration};
use lifecycle_runtime::{Orchestrator, Status};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut builder = Orchestrator::builder();
    builder.registrations([
        part("store"),
        part("reader").depends_on(["store"]),
        part("cache").tolerates(["store"]),
        part("writer").dependencies([Dependency::hard("store").stops()]),
        part("search").wants(["store"]),
        part("reports").after(["store"]),
    ]);
    let handle = builder.build()?.spawn();

    handle.start().await?;
    let started = handle.snapshot().await?;
    handle.stop_component("store").await?;
    let without = handle.snapshot().await?;
    handle.start_component("store").await?;
    // The store runs. What came down with it comes back as well, and is not waited for.
    let all_but_the_writer = |it: &Status| it.count(ComponentState::Running) == 5;
    handle.status().wait_for(all_but_the_writer).await?;
    let again = handle.snapshot().await?;
    handle.stop().await?;

    let mut out = std::io::stdout();
    writeln!(
        out,
        "         at first  store stopped           store started"
    )?;
    for id in started.plan.order() {
        let name = started.name(*id).as_str();
        let [first, then, last] = [&started, &without, &again].map(|it| state(it, *id));
        writeln!(out, "{name:<9}{first:<10}{then:<24}{last}")?;
    }
    Ok(())
}

/// Nothing here is essential: what is may not be stopped while the host shall go on.
fn part(name: &str) -> Registration {
    let idle = from_fn(async |_| Ok(()), async |_| Ok(()));
    Registration::new(name, idle).criticality(Criticality::Degradable)
}

fn state(snapshot: &Snapshot, id: ComponentId) -> String {
    let state = snapshot.component(id).state;
    let missing = snapshot.missing(id).next();
    match missing.filter(|_| state == ComponentState::Running) {
        Some(missing) => format!("running without {}", snapshot.name(missing)),
        None => state.as_str().to_owned(),
    }
}
