//! A component that must hold its thread, and has one of its own for that.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example isolated
//! ```

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lifecycle_core::component::from_fn;
use lifecycle_core::{BoxError, Registration, StartContext};
use lifecycle_runtime::Orchestrator;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let hashed = Arc::new(Notify::new());
    let telling = Arc::clone(&hashed);
    let digest = from_fn(move |cx| begin(cx, Arc::clone(&telling)), async |_| Ok(()));
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("digest", digest).isolated());
    let handle = builder.build()?.spawn();

    handle.start().await?;
    // This runs on the only thread there is besides.
    hashed.notified().await;
    handle.stop().await?;
    writeln!(std::io::stdout(), "stopped")?;
    Ok(())
}

async fn begin(cx: StartContext, hashed: Arc<Notify>) -> Result<(), BoxError> {
    let token = cx.run_token();
    cx.spawn("hash", async move { hash(&token, &hashed).await });
    Ok(())
}

async fn hash(token: &CancellationToken, hashed: &Notify) -> Result<(), BoxError> {
    let thread = thread::current();
    writeln!(std::io::stdout(), "hashing on {:?}", thread.name())?;
    while !token.is_cancelled() {
        hash_one_block();
        hashed.notify_one();
        // The component's own calls have their turn here, its stop as well.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Stands for 50 ms of arithmetic.
fn hash_one_block() {
    let (_nobody, answer) = mpsc::channel::<()>();
    let _ = answer.recv_timeout(Duration::from_millis(50));
}
