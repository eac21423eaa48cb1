//! Components that are added, restarted and removed while the rest goes on, and what is refused.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example run_time
//! ```

use std::fmt::Display;
use std::io::Write as _;

use lifecycle_core::component::from_fn;
use lifecycle_core::engine::{Intent, Operation};
use lifecycle_core::{BoxError, Component, Registration};
use lifecycle_runtime::{Orchestrator, Order};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("store", idle()));
    let handle = builder.build()?.spawn();
    handle.start().await?;

    let indexer = || Registration::new("indexer", idle());
    let misspelt = handle.add(indexer().depends_on(["stor"])).await;
    say("add, misspelt", misspelt.err());
    let report = handle.add(indexer().depends_on(["store"])).await?;
    say("add", Some(report.state.as_str()));

    let report = handle.restart("store").await?;
    let along: Vec<_> = report.collateral.iter().map(|it| it.as_str()).collect();
    say("restart, with", Some(along.join(", ")));
    say("stop", handle.stop_component("store").await.err());
    say("remove", handle.remove("store").await.err());

    let why = Intent::because("moving to another disk").by("alice");
    let stop = Order::new(Operation::Stop, "store")
        .forced()
        .with_intent(why);
    let report = handle.operate(stop).await?;
    say("stop, forced", Some(report.state.as_str()));
    say("ready", Some(handle.status().get().ready));
    handle.start_component("store").await?;
    handle.wait_ready().await?;
    say("ready", Some(handle.status().get().ready));

    let report = handle.remove("indexer").await?;
    say("remove", Some(report.state.as_str()));
    handle.stop().await?;
    Ok(())
}

fn idle() -> Component {
    from_fn(async |_| Ok(()), async |_| Ok(()))
}

fn say(what: &str, came_of_it: Option<impl Display>) {
    let came_of_it = came_of_it.map_or("nothing to say".to_owned(), |it| it.to_string());
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{what}: {came_of_it}");
}
