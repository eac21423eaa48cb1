//! Standard error, written by a thread of its own: who does not read it holds up nobody (invariant 13).
//!
//! A log collector that has stalled leaves a full pipe, and a write to that does not return. With it the driver would stand
//! still, and no stop would end. So lines are queued; when the queue is full they are lost, and how many is said as soon as
//! there is room again.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait: some seconds of a busy start, and a megabyte or two.
const WAITING: usize = 8_192;

static STDERR: OnceLock<Option<Stderr>> = OnceLock::new();

/// The way to the thread that writes.
#[derive(Debug)]
struct Stderr {
    queue: SyncSender<Item>,
    lost: AtomicU64,
    /// From now on whoever has a line writes it: nobody waits for the thread any more.
    ended: AtomicBool,
}

enum Item {
    Line(Vec<u8>),
    /// Everything before it is written when this is answered.
    Flush(Sender<()>),
}

/// The one of this process, begun at the first use; `None` when there is no thread for it.
fn stderr() -> Option<&'static Stderr> {
    let begun = STDERR.get_or_init(|| {
        let (queue, queued) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("lifecycle-log".to_owned());
        thread.spawn(move || write_all(&queued)).ok()?;
        Some(Stderr {
            queue,
            lost: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    });
    begun.as_ref()
}

fn write_all(queued: &Receiver<Item>) {
    for item in queued {
        let lost = stderr().map_or(0, |it| it.lost.swap(0, Ordering::Relaxed));
        // A standard error that is closed is no reason to end.
        let mut stream = io::stderr().lock();
        if lost > 0 {
            let _ = writeln!(
                stream,
                "error: log: {lost} lines are lost: nobody read them in time"
            );
        }
        match item {
            Item::Line(line) => drop(stream.write_all(&line)),
            Item::Flush(done) => drop(done.send(())),
        }
    }
}

/// Writes one line, sooner or later; never waits, except after [`end`].
pub(super) fn write_line(line: Vec<u8>) {
    let Some(stderr) = stderr().filter(|it| !it.ended.load(Ordering::Acquire)) else {
        let _ = io::stderr().write_all(&line);
        return;
    };
    if stderr.queue.try_send(Item::Line(line)).is_err() {
        stderr.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Flushes; where somebody reads, later lines are written by whoever has them, since the process may end right after one.
/// Where nobody does, they are queued as before, and lost: they must not hold up the end.
pub(super) fn end(patience: Duration) {
    let flushed = flush(patience);
    if let Some(Some(stderr)) = STDERR.get() {
        stderr.ended.store(flushed, Ordering::Release);
    }
}

/// Waits until everything so far is written, and not longer than `patience`; whether it was.
pub(super) fn flush(patience: Duration) -> bool {
    let Some(Some(stderr)) = STDERR.get() else {
        return true;
    };
    let (done, told) = channel();
    // A full queue is one that nobody empties.
    stderr.queue.try_send(Item::Flush(done)).is_ok() && told.recv_timeout(patience).is_ok()
}

/// Makes lines of what `tracing` writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines;

impl Write for Lines {
    /// One call is one line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_line(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
