//! A source, a queue and a sink that stop in this order, so that nothing which was accepted is lost.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example pipeline
//! ```

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifecycle_core::component::service;
use lifecycle_core::{BoxError, Registration, ServiceContext};
use lifecycle_runtime::Orchestrator;
use tokio::sync::{Mutex, mpsc};

/// The receiving end of a channel. A generation of a component borrows it; the next one finds it where it was.
type Inbox = Arc<Mutex<mpsc::Receiver<u64>>>;

#[derive(Default)]
struct Count {
    accepted: AtomicU64,
    delivered: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let count = Arc::new(Count::default());
    let (accepting, accepted) = channel();
    let (sending, sent) = channel();

    let mut builder = Orchestrator::builder();
    let counting = Arc::clone(&count);
    let source = service(move |cx| source(cx, accepting.clone(), Arc::clone(&counting)));
    let queue = service(move |cx| queue(cx, Arc::clone(&accepted), sending.clone()));
    let counting = Arc::clone(&count);
    let sink = service(move |cx| sink(cx, Arc::clone(&sent), Arc::clone(&counting)));
    builder.register(Registration::new("source", source).depends_on(["queue"]));
    builder.register(Registration::new("queue", queue).depends_on(["sink"]));
    builder.register(Registration::new("sink", sink));
    let handle = builder.build()?.spawn();

    handle.start().await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting = count.accepted.load(Ordering::SeqCst) - count.delivered.load(Ordering::SeqCst);
    writeln!(std::io::stdout(), "stopping with {waiting} on their way")?;
    handle.stop().await?;

    let (accepted, delivered) = (
        count.accepted.load(Ordering::SeqCst),
        count.delivered.load(Ordering::SeqCst),
    );
    writeln!(std::io::stdout(), "lost: {}", accepted - delivered)?;
    Ok(())
}

/// The bounds say how much may be on its way.
fn channel() -> (mpsc::Sender<u64>, Inbox) {
    let (sender, receiver) = mpsc::channel(100);
    (sender, Arc::new(Mutex::new(receiver)))
}

async fn source(cx: ServiceContext, queue: mpsc::Sender<u64>, count: Arc<Count>) {
    cx.ready();
    let token = cx.token();
    while let Some(Ok(place)) = token.run_until_cancelled(queue.reserve()).await {
        place.send(count.accepted.fetch_add(1, Ordering::SeqCst));
    }
}

async fn queue(cx: ServiceContext, inbox: Inbox, sink: mpsc::Sender<u64>) -> Result<(), BoxError> {
    let mut inbox = inbox.lock().await;
    cx.ready();
    let token = cx.token();
    while let Some(Some(item)) = token.run_until_cancelled(inbox.recv()).await {
        sink.send(item).await?;
    }
    // The source is down by now, or this would not have been asked to stop: what is here is all that will ever be.
    while let Ok(item) = inbox.try_recv() {
        sink.send(item).await?;
    }
    Ok(())
}

async fn sink(cx: ServiceContext, inbox: Inbox, count: Arc<Count>) {
    let mut inbox = inbox.lock().await;
    cx.ready();
    let token = cx.token();
    while let Some(Some(item)) = token.run_until_cancelled(inbox.recv()).await {
        deliver(item, &count).await;
    }
    while let Ok(item) = inbox.try_recv() {
        deliver(item, &count).await;
        cx.reporter().progress(format!("{} left", inbox.len()));
    }
}

async fn deliver(_item: u64, count: &Count) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    count.delivered.fetch_add(1, Ordering::SeqCst);
}
