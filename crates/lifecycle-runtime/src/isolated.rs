//! [`Isolated`]: a thread of a component's own, which it may block without delaying anybody else.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, SendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_core::{BoxError, ComponentName};
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

/// What the system shows of a thread's name.
const NAME_BYTES: usize = 15;

/// A thread with a current-thread runtime. It ends when nobody holds this any more, which every call and task on it does;
/// one that is blocked is left behind, and nobody waits for it but [`Threads::wait`], for a while.
pub(crate) struct Isolated(io::Result<Alive>);

/// What keeps the thread.
struct Alive {
    runtime: runtime::Handle,
    _end: oneshot::Sender<Infallible>,
}

impl Isolated {
    /// Makes the thread; what keeps that from succeeding is found in [`refusal`](Self::refusal).
    pub(crate) fn begin(component: &ComponentName, threads: &Threads) -> Arc<Self> {
        Arc::new(Self(begin(component, threads)))
    }

    /// Where to spawn; `None` when there is no thread.
    pub(crate) fn runtime(&self) -> Option<&runtime::Handle> {
        self.0.as_ref().ok().map(|it| &it.runtime)
    }

    /// Why there is no thread.
    pub(crate) fn refusal(&self) -> Option<BoxError> {
        let error = self.0.as_ref().err()?;
        Some(format!("no thread for the component: {error}").into())
    }
}

impl fmt::Debug for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolated").finish_non_exhaustive()
    }
}

fn begin(component: &ComponentName, threads: &Threads) -> io::Result<Alive> {
    let (end, ended) = oneshot::channel();
    let (hand_over, handed_over) = mpsc::channel();
    let counted = threads.count_in();
    // The thread first: a runtime for which there is none could not be dropped here, on the driver's runtime.
    thread::Builder::new()
        .name(thread_name(component.as_str()).to_owned())
        .spawn(move || {
            if let Ok(runtime) = handed_over.recv() {
                run(runtime, ended);
            }
            drop(counted);
        })?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    if let Err(SendError(runtime)) = hand_over.send(runtime) {
        runtime.shutdown_background();
    }
    Ok(Alive {
        runtime: handle,
        _end: end,
    })
}

fn run(runtime: Runtime, ended: oneshot::Receiver<Infallible>) {
    // Nothing is ever sent: it ends when the other side is dropped.
    let _ = runtime.block_on(ended);
    // What the component left behind by means of its own is dropped here, and nobody waits for its blocking calls.
    runtime.shutdown_background();
}

/// As much of `name` as the system shows.
fn thread_name(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES)]
}

/// How many threads of isolated components there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    threads: Mutex<usize>,
    changed: Condvar,
}

impl Threads {
    fn count_in(&self) -> Counted {
        *self.0.threads() += 1;
        Counted(self.clone())
    }

    /// Waits until all have ended, and not beyond `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) {
        let mut threads = self.0.threads();
        while *threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            let waited = self.0.changed.wait_timeout(threads, left);
            threads = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Count {
    fn threads(&self) -> MutexGuard<'_, usize> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the counted, until it is dropped.
struct Counted(Threads);

impl Drop for Counted {
    fn drop(&mut self) {
        let Threads(count) = &self.0;
        *count.threads() -= 1;
        count.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> ComponentName {
        ComponentName::new("spinner").unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_thread_is_named_by_what_the_system_shows_and_never_within_a_character() {
        assert_eq!(thread_name("spinner"), "spinner");
        assert_eq!(thread_name("warehouse:primary"), "warehouse:prima");
        assert_eq!(thread_name("zähler-für-läufe"), "zähler-für-l");
    }

    #[test]
    fn the_thread_ends_with_the_last_who_holds_it() {
        let threads = Threads::default();
        let isolated = Isolated::begin(&name(), &threads);
        assert!(isolated.refusal().is_none());
        let runtime = isolated.runtime().unwrap().clone();
        let (tell, told) = mpsc::channel();
        let held = Arc::clone(&isolated);
        drop(isolated);
        runtime.spawn(async move {
            let thread = thread::current();
            tell.send(thread.name().map(str::to_owned)).unwrap();
            drop(held);
        });
        let named = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(named.as_deref(), Some("spinner"));
        threads.wait(soon());
        assert_eq!(*threads.0.threads(), 0);
    }

    #[test]
    fn nobody_waits_for_a_blocked_thread_beyond_the_deadline() {
        let threads = Threads::default();
        let isolated = Isolated::begin(&name(), &threads);
        let (release, released) = mpsc::channel::<()>();
        let runtime = isolated.runtime().unwrap().clone();
        runtime.spawn(async move {
            let _ = released.recv();
            drop(isolated);
        });
        threads.wait(Instant::now() + Duration::from_millis(20));
        assert_eq!(*threads.0.threads(), 1);
        drop(release);
        threads.wait(soon());
        assert_eq!(*threads.0.threads(), 0);
    }
}
