//! How quickly probes are answered, and how late events reach a subscriber, while ten thousand components start.
//!
//! ```text
//! cargo run --release -p diagnostics --example busy_start
//! ```
//!
//! Each component sleeps as it starts, and waits for two of the layer before. The driver has a thread of its own. The last lines compare starts that nobody
//! follows with starts that stuck subscribers follow, in turn.

#![expect(clippy::print_stdout, reason = "an example says what it measures")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diagnostics::Diagnostics;
use lifecycle_core::engine::{EventKind, OrchestratorState};
use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::{Handle, Notice, Orchestrator, OrchestratorBuilder};
use tokio::runtime;

const COMPONENTS: usize = 10_000;
const LAYERS: usize = 10;
const NAP: Duration = Duration::from_millis(50);
const ROUNDS: usize = 21;
const STUCK: usize = 8;

struct Sleeper(Duration);

impl Lifecycle for Sleeper {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        // Even a timer that is over at once takes a millisecond.
        if !self.0.is_zero() {
            tokio::time::sleep(self.0).await;
        }
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

fn registrations(nap: Duration) -> impl Iterator<Item = Registration> {
    let layer = COMPONENTS / LAYERS;
    (0..COMPONENTS).map(move |place| {
        let before = place.checked_sub(layer);
        let second = before.map(|it| it.saturating_sub(1));
        let needs = before.into_iter().chain(second);
        Registration::new(format!("component-{place}"), Sleeper(nap))
            .depends_on(needs.map(|it| format!("component-{it}")))
    })
}

fn main() -> Result<(), BoxError> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        probed_start().await?;
        followed_start().await?;
        let mut times = [(0, Vec::new()), (1, Vec::new()), (STUCK, Vec::new())];
        for round in 0..=ROUNDS {
            for (stuck, times) in &mut times {
                let time = plain_start(*stuck).await?;
                // The first round is the warm-up.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        for (stuck, times) in &mut times {
            let median = median(times);
            println!("a start without sleep, {stuck} stuck subscribers: {median:?}");
        }
        Ok(())
    })
}

/// Drives it on a thread of its own, as `Host::main` does; components run on the present runtime.
fn drive(mut builder: OrchestratorBuilder) -> Result<Handle, BoxError> {
    builder.components_on(runtime::Handle::current());
    let orchestrator = builder.build()?;
    let handle = orchestrator.handle();
    let driver = runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    std::thread::spawn(move || driver.block_on(orchestrator.run()));
    Ok(handle)
}

/// Starts everything while probes are asked.
async fn probed_start() -> Result<(), BoxError> {
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations(NAP));
    let diagnostics = Diagnostics::builder(builder.handle())
        .bind("127.0.0.1:0".parse()?)
        .build();
    builder.register(diagnostics.registration());
    let handle = drive(builder)?;
    let over = Arc::new(AtomicBool::new(false));
    let (mut addresses, ends) = (diagnostics.address(), Arc::clone(&over));
    let prober = tokio::spawn(async move {
        let address = *addresses.wait_for(Option::is_some).await?;
        let address = address.ok_or("it listens")?;
        Ok::<_, BoxError>(tokio::task::spawn_blocking(move || probe(address, &ends)).await??)
    });
    let begin = Instant::now();
    handle.start().await?;
    println!(
        "{COMPONENTS} components, {LAYERS} layers, {NAP:?} each, started in {:?}",
        begin.elapsed()
    );
    over.store(true, Ordering::Relaxed);
    report("a probe during the start", prober.await??);
    handle.stop().await?;
    Ok(())
}

/// Starts everything while somebody reads the events.
async fn followed_start() -> Result<(), BoxError> {
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations(NAP));
    let handle = drive(builder)?;
    let lateness = tokio::spawn(follow(handle.clone()));
    handle.start().await?;
    let (times, missed) = lateness.await?;
    report("an event, from the engine to a subscriber", times);
    println!("events that it missed: {missed}");
    handle.stop().await?;
    Ok(())
}

/// Asks `/livez` and `/readyz` in turn, by one connection.
fn probe(address: SocketAddr, over: &AtomicBool) -> std::io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut times = Vec::new();
    let mut body = Vec::new();
    for path in ["/livez", "/readyz"].iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let begin = Instant::now();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// How late each event of the start came.
async fn follow(handle: Handle) -> (Vec<Duration>, u64) {
    let clock = handle.clock();
    let mut events = handle.subscribe();
    let (mut times, mut missed) = (Vec::new(), 0);
    while let Some(notice) = events.next().await {
        match notice {
            Notice::Event(event) => {
                times.push(clock.now().since(event.at).into());
                let EventKind::Orchestrator { to, .. } = event.kind else {
                    continue;
                };
                if to == OrchestratorState::Running {
                    break;
                }
            }
            Notice::Missed(count) => missed += count,
        }
    }
    (times, missed)
}

/// How long a start takes while `stuck` subscribers do not read what they are sent.
async fn plain_start(stuck: usize) -> Result<Duration, BoxError> {
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations(Duration::ZERO));
    let handle = drive(builder)?;
    let subscriptions: Vec<_> = (0..stuck).map(|_| handle.subscribe()).collect();
    let begin = Instant::now();
    handle.start().await?;
    let time = begin.elapsed();
    handle.stop().await?;
    drop(subscriptions);
    Ok(time)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)];
    let count = times.len();
    println!(
        "{what}, {count} of them: median {:?}, p99 {:?}, worst {:?}",
        at(500),
        at(990),
        at(1000)
    );
}
