//! A component that fails while it runs and comes back within its budget; one dependent follows it, another goes on
//! without it.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example recovering
//! ```

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::engine::{ComponentState, EventKind, Verdict};
use lifecycle_core::{
    Backoff, BoxError, Component, Criticality, Jitter, Nanos, Plan, Registration, Restart,
    ServiceContext,
};
use lifecycle_runtime::{Notice, Orchestrator, Subscription};
use tokio::sync::Notify;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cable = Arc::new(Notify::new());
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations(&cable));
    let orchestrator = builder.build()?;
    let plan = Arc::clone(orchestrator.plan());
    let handle = orchestrator.spawn();

    handle.start().await?;
    let mut story = Story {
        events: handle.subscribe(),
        plan,
    };
    for cut in ["first", "second"] {
        say(format!("-- the {cut} cut"));
        cable.notify_one();
        story.until("feed", ComponentState::Running).await?;
    }
    say("-- the third cut, one more than the budget allows");
    cable.notify_one();
    story.until("feed", ComponentState::Faulted).await?;
    story.until("link", ComponentState::Faulted).await?;

    say("-- an operator starts it");
    handle.start_component("link").await?;
    story.until("feed", ComponentState::Running).await?;
    handle.stop().await?;
    Ok(())
}

fn registrations(cable: &Arc<Notify>) -> [Registration; 3] {
    let cable = Arc::clone(cable);
    let restart = Restart::on_failure()
        .with_backoff(Backoff::Fixed(Nanos::from_millis(200)))
        .with_jitter(Jitter::None)
        .with_budget(2, Duration::from_secs(60));
    let link = Registration::new("link", service(move |cx| hold(cx, Arc::clone(&cable))))
        .restart(restart)
        .criticality(Criticality::Degradable);
    let feed = Registration::new("feed", idle())
        .depends_on(["link"])
        .criticality(Criticality::Degradable);
    let cache = Registration::new("cache", idle()).tolerates(["link"]);
    [link, feed, cache]
}

async fn hold(cx: ServiceContext, cable: Arc<Notify>) -> Result<(), BoxError> {
    cx.ready();
    tokio::select! {
        () = cx.cancelled() => Ok(()),
        () = cable.notified() => Err("the cable was cut".into()),
    }
}

fn idle() -> Component {
    from_fn(async |_| Ok(()), async |_| Ok(()))
}

/// The events, told line by line.
struct Story {
    events: Subscription,
    plan: Arc<Plan>,
}

impl Story {
    /// Tells what happens until `component` enters `state`.
    async fn until(&mut self, component: &str, state: ComponentState) -> Result<(), BoxError> {
        while let Some(notice) = self.events.next().await {
            let Notice::Event(event) = notice else {
                continue;
            };
            if self.tell(&event.kind) == Some((component, state)) {
                return Ok(());
            }
        }
        Err("the orchestrator is gone".into())
    }

    /// Tells one event; a component that has entered another state is the result.
    fn tell(&self, event: &EventKind) -> Option<(&str, ComponentState)> {
        match event {
            EventKind::Transition { key, from, to, .. } => {
                let name = self.plan.name(key.component).as_str();
                say(format!("{name}: {} -> {}", from.as_str(), to.as_str()));
                return Some((name, *to));
            }
            EventKind::Lost { key, verdict, .. } => {
                let name = self.plan.name(key.component);
                say(match verdict {
                    Verdict::Restart { delay, restarts } => {
                        format!("{name} is lost: restart {restarts}, after {delay}")
                    }
                    Verdict::Follow | Verdict::Final => format!("{name} is lost for good"),
                });
            }
            EventKind::DependencyLost { key, dependency } => say(format!(
                "{} goes on without {}",
                self.plan.name(key.component),
                self.plan.name(*dependency)
            )),
            EventKind::DependencyBack { key, dependency } => say(format!(
                "{} has {} again",
                self.plan.name(key.component),
                self.plan.name(*dependency)
            )),
            _ => {}
        }
        None
    }
}

fn say(line: impl AsRef<str>) {
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}
