//! [`Scripted`]: a component that does what it is told, call by call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use lifecycle_core::{Component, Registration, Retry, component};

use crate::act::Act;
use crate::fault::FaultPlan;
use crate::hook::Hook;
use crate::player::{Part, Player};
use crate::record::Record;

/// Builds a component that does what it is told, call by call, and keeps a [`Record`] of it.
///
/// Without a script every call succeeds at once. Of a script, each call takes one act; the last is repeated. A
/// [`FaultPlan`] goes before the script.
///
/// ```
/// use std::time::Duration;
/// use lifecycle_testkit::{Act, Hook, Scripted, launch, simulate};
///
/// simulate(async {
///     let db = Scripted::new("db").stops([Act::succeed_after(Duration::from_secs(3))]);
///     let record = db.record();
///     let handle = launch([db.registration()]);
///     handle.start().await.unwrap();
///     handle.stop().await.unwrap();
///     assert_eq!(record.calls(Hook::Stop), 1);
/// });
/// ```
#[derive(Debug)]
pub struct Scripted {
    name: String,
    record: Record,
    scripts: [Script; Hook::ALL.len()],
    faults: Option<FaultPlan>,
    start_retry: Retry,
    drains: bool,
    is_fresh: bool,
}

impl Scripted {
    /// A component called `name` on which everything succeeds at once.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            record: Record::new(name.clone()),
            name,
            scripts: Default::default(),
            faults: None,
            start_retry: Retry::default(),
            drains: false,
            is_fresh: false,
        }
    }

    /// What its calls of `hook` do, one act each; the last is repeated. Without any act they succeed. Acts for drain or
    /// resume make it take part in drains.
    #[must_use]
    pub fn on(mut self, hook: Hook, acts: impl IntoIterator<Item = Act>) -> Self {
        self.scripts[hook as usize] = Script::of(acts);
        self.drains |= matches!(hook, Hook::Drain | Hook::Resume);
        self
    }

    /// What its starts do.
    #[must_use]
    pub fn starts(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.on(Hook::Start, acts)
    }

    /// What its stops do.
    #[must_use]
    pub fn stops(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.on(Hook::Stop, acts)
    }

    /// What its drains do; it takes part in drains.
    #[must_use]
    pub fn drains(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.on(Hook::Drain, acts)
    }

    /// What its resumes do; it takes part in drains.
    #[must_use]
    pub fn resumes(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.on(Hook::Resume, acts)
    }

    /// What its health checks do. They are made when the registration asks for them.
    #[must_use]
    pub fn checks(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.on(Hook::Check, acts)
    }

    /// What its disposes do. Whatever that is, they release as they begin.
    #[must_use]
    pub fn disposes(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.on(Hook::Dispose, acts)
    }

    /// Every call gets the fault that `plan` has for it, and what is scripted when there is none.
    #[must_use]
    pub fn faults(mut self, plan: &FaultPlan) -> Self {
        self.faults = Some(plan.clone());
        self
    }

    /// Every attempt gets a fresh value. Script and record are shared by all of them.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.is_fresh = true;
        self
    }

    /// A start is tried `attempts` times, without a delay; more is said by the registration.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.start_retry = Retry::attempts(attempts);
        self
    }

    /// The record. Take it before the component is registered.
    #[must_use]
    pub fn record(&self) -> Record {
        self.record.clone()
    }

    /// A registration under its name, for edges and policies to be added.
    #[must_use]
    pub fn registration(self) -> Registration {
        let name = self.name.clone();
        let retry = self.start_retry.clone();
        Registration::new(name, self.component()).start_retry(retry)
    }

    /// The component alone.
    #[must_use]
    pub fn component(self) -> Component {
        let part = Arc::new(Part {
            books: self.record.books(),
            scripts: self.scripts,
            faults: self.faults,
        });
        match (self.drains, self.is_fresh) {
            (false, false) => Component::from(Player::<false>::new(part)),
            (true, false) => Component::from(Player::<true>::new(part)),
            (false, true) => component::factory(move || Player::<false>::new(Arc::clone(&part))),
            (true, true) => component::factory(move || Player::<true>::new(Arc::clone(&part))),
        }
    }
}

impl From<Scripted> for Component {
    fn from(scripted: Scripted) -> Self {
        scripted.component()
    }
}

/// The acts that are left for one hook.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<VecDeque<Act>>);

impl Script {
    fn of(acts: impl IntoIterator<Item = Act>) -> Self {
        Self(Mutex::new(acts.into_iter().collect()))
    }

    /// The next act; the last one stays.
    pub(crate) fn next(&self) -> Act {
        let mut acts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = if acts.len() > 1 {
            acts.pop_front()
        } else {
            acts.front().cloned()
        };
        next.unwrap_or_else(Act::succeed)
    }
}
