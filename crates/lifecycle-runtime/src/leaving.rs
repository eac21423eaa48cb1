//! [`Exit`]: where values of the user's end, and under which name.

use std::sync::Arc;

use lifecycle_core::ComponentName;
use tokio::runtime;

use crate::blocked::{Mark, Place, Watch, What, Who};
use crate::isolated::{Isolated, Threads};
use crate::user_future::drop_quietly;

/// The way out for values: each in a task of its own, so that one whose `Drop` blocks holds up no other while a thread is
/// free; that of an isolated component on a thread of its own.
pub(crate) struct Exit<'a> {
    /// Where components run.
    pub(crate) runtime: &'a runtime::Handle,
    /// Who names what blocks.
    pub(crate) watch: Option<&'a Arc<Watch>>,
    /// Who counts the threads of isolated components.
    pub(crate) threads: &'a Threads,
}

impl Exit<'_> {
    /// Lets go of a value of `component`.
    pub(crate) fn let_go<T: Send + 'static>(
        &self,
        component: &ComponentName,
        is_isolated: bool,
        value: T,
    ) {
        let leaving = Leaving::new(component, self.watch, value);
        let own = is_isolated.then(|| Isolated::begin(component, self.threads));
        let runtime = own.as_ref().and_then(|it| it.runtime());
        // A thread that cannot be had is made up for by one of those that all share.
        let runtime = runtime.unwrap_or(self.runtime).clone();
        runtime.spawn(async move {
            drop(leaving);
            drop(own);
        });
    }
}

/// A value on its way out. Dropped quietly, wherever that happens: a runtime that shuts down drops its tasks unpolled.
struct Leaving<T> {
    value: Option<T>,
    watched: Option<(Arc<Watch>, Place)>,
}

impl<T> Leaving<T> {
    fn new(component: &ComponentName, watch: Option<&Arc<Watch>>, value: T) -> Self {
        let watched = watch.map(|it| {
            let who = Who::Value(component.clone());
            (Arc::clone(it), it.directory().enter(0, who))
        });
        Self {
            value: Some(value),
            watched,
        }
    }
}

impl<T> Drop for Leaving<T> {
    fn drop(&mut self) {
        let mark = match &self.watched {
            Some((watch, place)) => watch.mark(*place, What::DROP),
            None => Mark::NONE,
        };
        drop_quietly(self.value.take());
        drop(mark);
        if let Some((watch, place)) = &self.watched {
            watch.directory().leave(*place);
        }
    }
}
