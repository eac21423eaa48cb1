//! [`Record`]: what a scripted component was asked, what it holds, and what of it is alive.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::hook::Hook;

/// The order of notes over all records of the process.
static ORDER: AtomicU64 = AtomicU64::new(0);

/// One line of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The position among the notes of all records of this process.
    pub order: u64,
    /// When, by tokio's clock.
    pub at: Instant,
    /// Which call.
    pub hook: Hook,
    /// The incarnation, counted from 1.
    pub generation: u32,
    /// The attempt, counted from 1; for calls without attempts, which call of its kind in this generation.
    pub attempt: u32,
    /// What happened to it.
    pub moment: Moment,
}

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It was made.
    Began,
    /// It returned `Ok`.
    Succeeded,
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// Its future was dropped before it had ended.
    Dropped,
}

/// What a scripted component was asked, what it holds, and what of it is alive. Clones are the same record.
///
/// A start *acquires*, once per generation (with fresh values: per attempt), and dispose *releases*. So that a test that
/// fails can end, calls that [block](crate::Act::block) go on when the last clone is dropped.
#[derive(Clone)]
pub struct Record {
    books: Arc<Books>,
    _opener: Arc<Opener>,
}

/// What the record and the component share.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) name: String,
    notes: Mutex<Vec<Note>>,
    acquired: AtomicUsize,
    disposed: AtomicUsize,
    disposed_in_vain: AtomicUsize,
    live_calls: AtomicUsize,
    live_tasks: AtomicUsize,
    gate: Gate,
}

/// Holds threads until it is opened.
#[derive(Debug, Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

struct Opener(Arc<Books>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.gate.open();
    }
}

impl Record {
    pub(crate) fn new(name: String) -> Self {
        let books = Arc::new(Books {
            name,
            notes: Mutex::default(),
            acquired: AtomicUsize::new(0),
            disposed: AtomicUsize::new(0),
            disposed_in_vain: AtomicUsize::new(0),
            live_calls: AtomicUsize::new(0),
            live_tasks: AtomicUsize::new(0),
            gate: Gate::default(),
        });
        Self {
            _opener: Arc::new(Opener(Arc::clone(&books))),
            books,
        }
    }

    pub(crate) fn books(&self) -> Arc<Books> {
        Arc::clone(&self.books)
    }

    /// The component's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.books.name
    }

    /// Everything so far, in order.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.books.notes().clone()
    }

    /// How often `hook` was called.
    #[must_use]
    pub fn calls(&self, hook: Hook) -> usize {
        self.count(hook, Moment::Began)
    }

    /// How many calls of `hook` came to `moment`.
    #[must_use]
    pub fn count(&self, hook: Hook, moment: Moment) -> usize {
        let notes = self.books.notes();
        let found = notes.iter().filter(|it| it.hook == hook);
        found.filter(|it| it.moment == moment).count()
    }

    /// How often a start has acquired something.
    #[must_use]
    pub fn acquired(&self) -> usize {
        self.books.acquired.load(Ordering::SeqCst)
    }

    /// How often a dispose has released what a start had acquired.
    #[must_use]
    pub fn disposed(&self) -> usize {
        self.books.disposed.load(Ordering::SeqCst)
    }

    /// How often a dispose found nothing to release: it came twice, or the start was dropped before its first poll.
    #[must_use]
    pub fn disposed_in_vain(&self) -> usize {
        self.books.disposed_in_vain.load(Ordering::SeqCst)
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.books.live_calls.load(Ordering::SeqCst)
    }

    /// How many tasks of its starts are alive.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.books.live_tasks.load(Ordering::SeqCst)
    }

    /// Lets every call go on that blocks its thread, now and from now on.
    pub fn release(&self) {
        self.books.gate.open();
    }

    /// Asserts that everything acquired was disposed, and that no call and no task is alive.
    ///
    /// # Panics
    ///
    /// Otherwise, with the numbers.
    #[track_caller]
    pub fn assert_no_leak(&self) {
        if let Some(leak) = self.leak() {
            panic!("{leak}");
        }
    }

    /// What is held or alive, in words.
    pub(crate) fn leak(&self) -> Option<String> {
        // Read in this order, one after the other: what is disposed in between must not make it negative.
        let held = self.acquired().saturating_sub(self.disposed());
        let (calls, tasks) = (self.live_calls(), self.live_tasks());
        if held + calls + tasks == 0 {
            return None;
        }
        let name = self.name();
        Some(format!(
            "\"{name}\": {held} acquired and not disposed, {calls} calls in flight, {tasks} tasks alive"
        ))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.books).finish()
    }
}

/// What happened to all of `records`, in order: `start db, started db, stop db, stopped db`.
#[must_use]
pub fn story(records: &[Record]) -> String {
    let named = |it: &Record| {
        let name = it.name().to_owned();
        it.notes()
            .into_iter()
            .map(move |note| (note.order, line(&name, &note)))
    };
    let mut lines: Vec<_> = records.iter().flat_map(named).collect();
    lines.sort();
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    lines.join(", ")
}

fn line(name: &str, note: &Note) -> String {
    let hook = note.hook;
    match note.moment {
        Moment::Began => format!("{hook} {name}"),
        Moment::Succeeded => format!("{} {name}", hook.done()),
        Moment::Failed => format!("{hook} {name} failed"),
        Moment::Panicked => format!("{hook} {name} panicked"),
        Moment::Dropped => format!("{hook} {name} dropped"),
    }
}

impl Books {
    fn notes(&self) -> MutexGuard<'_, Vec<Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn acquire(&self) {
        self.acquired.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn dispose(&self) {
        self.disposed.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn dispose_in_vain(&self) {
        self.disposed_in_vain.fetch_add(1, Ordering::SeqCst);
    }

    /// Blocks this thread until the record lets it go on.
    pub(crate) fn block(&self) {
        self.gate.wait();
    }

    pub(crate) fn begin(self: &Arc<Self>, hook: Hook, generation: u32, attempt: u32) -> OpenCall {
        self.live_calls.fetch_add(1, Ordering::SeqCst);
        let call = OpenCall {
            books: Arc::clone(self),
            hook,
            generation,
            attempt,
            ending: None,
        };
        call.note(Moment::Began);
        call
    }

    pub(crate) fn task(self: &Arc<Self>) -> LiveTask {
        self.live_tasks.fetch_add(1, Ordering::SeqCst);
        LiveTask(Arc::clone(self))
    }
}

/// A call in flight; notes how it ended, whichever way that is.
pub(crate) struct OpenCall {
    books: Arc<Books>,
    hook: Hook,
    generation: u32,
    attempt: u32,
    ending: Option<Moment>,
}

impl OpenCall {
    pub(crate) fn end(&mut self, moment: Moment) {
        self.ending = Some(moment);
    }

    fn note(&self, moment: Moment) {
        let mut notes = self.books.notes();
        notes.push(Note {
            // Under the lock, so that one record is in order.
            order: ORDER.fetch_add(1, Ordering::SeqCst),
            at: Instant::now(),
            hook: self.hook,
            generation: self.generation,
            attempt: self.attempt,
            moment,
        });
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let unended = if std::thread::panicking() {
            Moment::Panicked
        } else {
            Moment::Dropped
        };
        self.note(self.ending.unwrap_or(unended));
        self.books.live_calls.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A task that counts as alive until it is dropped.
pub(crate) struct LiveTask(Arc<Books>);

impl Drop for LiveTask {
    fn drop(&mut self) {
        self.0.live_tasks.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.opened
                .wait_while(is_open, |it| !*it)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
