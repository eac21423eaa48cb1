//! [`Leftovers`]: what may still be there when everything has stopped, and for how long the host waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle_core::{Component, ComponentName};
use tokio::runtime::Runtime;

use crate::blocked::Watchdog;
use crate::builder::OrchestratorBuilder;
use crate::handle::Link;
use crate::leaving::Exit;
use crate::user_future::drop_in_tasks;

/// How long the watchdog may take for its last words; it writes to a log, which may not be read.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Every component, kept to the end: neither the main thread nor the driver's may be the one on which a value of the user's
/// is dropped.
pub(super) struct Leftovers {
    components: Vec<Kept>,
    link: Arc<Link>,
    timeout: Duration,
}

struct Kept {
    /// `None` for a name that is none: then nothing was built.
    name: Option<ComponentName>,
    is_isolated: bool,
    component: Component,
}

impl Leftovers {
    pub(super) fn of(builder: &OrchestratorBuilder, timeout: Duration) -> Self {
        let components = builder.registered().iter().map(|it| Kept {
            name: ComponentName::new(&it.name).ok(),
            is_isolated: it.isolated,
            component: it.component.clone(),
        });
        Self {
            components: components.collect(),
            link: Arc::clone(builder.link()),
            timeout,
        }
    }

    /// Lets go of all values and ends the components' runtime; waits for threads that are still at work for as long as the
    /// host may, names them, and goes on without them.
    pub(super) fn end(self, runtime: Runtime, watchdog: Option<Watchdog>) {
        let deadline = Instant::now() + self.timeout;
        let exit = Exit {
            runtime: runtime.handle(),
            watch: self.link.watch.get(),
            threads: &self.link.threads,
        };
        for kept in self.components {
            match kept.name {
                Some(name) => exit.let_go(&name, kept.is_isolated, kept.component),
                None => drop_in_tasks(runtime.handle(), [kept.component]),
            }
        }
        runtime.shutdown_timeout(self.timeout);
        self.link.threads.wait(deadline);
        if Instant::now() < deadline {
            return;
        }
        // Something is still at work: the time is up.
        let named = watchdog.and_then(|it| it.name_the_rest(LAST_WORDS));
        if named == Some(0) {
            tracing::warn!(
                target: "lifecycle",
                event = "host.left_behind",
                "something is left behind that no component was called for: a blocking call, or a thread of its own",
            );
        }
    }
}
