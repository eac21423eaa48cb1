//! Components with a thread of their own, on real threads. Every wait is bounded.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_core::engine::StopOutcome;
use lifecycle_core::{
    BoxError, Component, Criticality, Lifecycle, Registration, Retry, StartContext, StopContext,
    component,
};
use lifecycle_runtime::{ExitStatus, Handle, Host, HostConfig};

use crate::kit::*;

/// Notes on which thread it is called, polled and dropped.
struct Placed {
    journal: Journal,
    fails: Mutex<u32>,
}

impl Placed {
    fn new(journal: &Journal) -> Self {
        Self {
            journal: journal.clone(),
            fails: Mutex::new(0),
        }
    }

    fn note(&self, what: &str) {
        let thread = thread::current();
        self.journal
            .note(format!("{what} on {}", thread.name().unwrap_or("unnamed")));
    }
}

impl Lifecycle for Placed {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.note("start");
        let token = cx.run_token();
        let journal = self.journal.clone();
        cx.spawn("loop", async move {
            token.cancelled().await;
            let thread = thread::current();
            journal.note(format!("task on {}", thread.name().unwrap_or("unnamed")));
        });
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err("not yet".into());
        }
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        // A timer of its own runtime.
        tokio::time::sleep(ms(1)).await;
        self.note("stop");
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.note("dispose");
        Ok(())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.note("drop");
    }
}

/// Runs `course` with components on a runtime of one worker, driven on another.
fn on_one_worker<T>(registrations: Vec<Registration>, course: impl AsyncFnOnce(Handle) -> T) -> T {
    let components = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("shared")
        .enable_all()
        .build()
        .unwrap();
    let driver = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = driver.block_on(async {
        let handle = run_with(registrations, |it| {
            it.components_on(components.handle().clone());
        });
        let limited = tokio::time::timeout(Duration::from_secs(10), course(handle));
        limited.await.expect("the course takes no ten seconds")
    });
    // Ends the driver, and lets go of the values.
    drop(driver);
    components.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Waits until `journal` has `line`.
#[track_caller]
fn noted(journal: &Journal, line: &str) {
    let began = Instant::now();
    while journal.count(line) == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "no {line:?}");
        thread::park_timeout(ms(5));
    }
}

#[test]
fn an_isolated_component_is_called_polled_and_dropped_on_a_thread_named_after_it() {
    let journal = Journal::default();
    let placed = Registration::new("warehouse:primary", Placed::new(&journal)).isolated();
    on_one_worker(
        vec![placed, plain("b", &Journal::default())],
        async |handle| {
            for _ in 0..2 {
                handle.start().await.unwrap();
                handle.stop().await.unwrap();
            }
        },
    );
    noted(&journal, "drop on warehouse:prima");
    let lines = journal.take();
    let lines: Vec<_> = lines.split(", ").collect();
    assert_eq!(lines.len(), 9, "{lines:?}");
    assert!(
        lines.iter().all(|it| it.ends_with(" on warehouse:prima")),
        "{lines:?}"
    );
}

#[test]
fn the_attempts_of_a_generation_share_their_thread_and_a_fresh_value_has_its_own() {
    let journal = Journal::default();
    let shared = Placed::new(&journal);
    *shared.fails.lock().unwrap() = 1;
    let made = journal.clone();
    let fresh = component::factory(move || Placed::new(&made));
    let registrations = vec![
        Registration::new("shared-value", shared)
            .isolated()
            .start_retry(Retry::attempts(2)),
        Registration::new("fresh-value", fresh).isolated(),
    ];
    on_one_worker(registrations, async |handle| {
        handle.start().await.unwrap();
        handle.stop().await.unwrap();
        // The value of a factory ends with its dispose.
        noted(&journal, "drop on fresh-value");
    });
    noted(&journal, "drop on shared-value");
    assert_eq!(journal.count("start on shared-value"), 2);
    assert!(!journal.take().contains("on shared,"));
}

/// A component that blocks its thread until the other end is dropped: in start, or in a task.
fn blocking(in_start: bool) -> (Component, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(Some(held)));
    let start = move |cx: StartContext| {
        let held = held.lock().unwrap().take();
        let hold = move || {
            if let Some(held) = held {
                let _ = held.recv();
            }
        };
        if in_start {
            hold();
        } else {
            cx.spawn("spin", async move { hold() });
        }
        std::future::ready(Ok(()))
    };
    (component::from_fn(start, async |_| Ok(())), release)
}

#[test]
fn an_isolated_component_that_blocks_in_start_delays_nobody_on_a_runtime_of_one_worker() {
    let journal = Journal::default();
    let (blocks, release) = blocking(true);
    let blocks = Registration::new("blocks", blocks)
        .isolated()
        .criticality(Criticality::Degradable)
        .start_retry(Retry::none().with_attempt_timeout(ms(100)))
        .abort_grace(ms(50));
    let began = Instant::now();
    on_one_worker(vec![blocks, plain("fine", &journal)], async |handle| {
        let report = handle.start().await.unwrap();
        assert_eq!(report.running, 1);
        handle.stop().await.ok();
        let abandoned = handle.status().get().abandoned;
        assert_eq!(abandoned[0].component.as_str(), "blocks");
        assert_eq!(abandoned[0].tasks, ["start"]);
        assert_eq!(journal.count("stopped fine"), 1);
    });
    assert!(began.elapsed() < ms(2_000), "{:?}", began.elapsed());
    drop(release);
}

#[test]
fn an_isolated_component_whose_task_blocks_is_abandoned_and_named_within_the_deadline() {
    let journal = Journal::default();
    let (blocks, release) = blocking(false);
    let registrations = vec![
        plain("pool", &journal),
        Registration::new("blocks", blocks)
            .isolated()
            .depends_on(["pool"]),
    ];
    on_one_worker(registrations, async |handle| {
        handle.start().await.unwrap();
        let began = Instant::now();
        let deadline = tokio::time::Instant::now() + ms(300);
        let error = handle.stop_by(deadline).await.unwrap_err();
        assert!(began.elapsed() < ms(1_000), "{:?}", began.elapsed());
        let troubles = &error.report().unwrap().troubles;
        assert!(
            troubles
                .iter()
                .any(|it| it.outcome == StopOutcome::Abandoned)
        );
        let abandoned = handle.status().get().abandoned;
        assert!(
            abandoned[0].tasks.iter().any(|it| it == "spin"),
            "{abandoned:?}"
        );
        assert_eq!(journal.count("stopped pool"), 1);
    });
    drop(release);
}

#[test]
fn a_host_of_one_worker_ends_although_an_isolated_thread_is_blocked() {
    let (blocks, release) = blocking(false);
    let began = Instant::now();
    let config = HostConfig {
        worker_threads: std::num::NonZeroUsize::new(1),
        leftover_timeout: ms(100),
        ..HostConfig::default()
    };
    let status = Host::run_until(
        config,
        |host| {
            host.defaults(lifecycle_core::Defaults {
                shutdown_timeout: ms(300).into(),
                ..lifecycle_core::Defaults::default()
            });
            host.register(Registration::new("blocks", blocks).isolated());
            Ok(())
        },
        tokio_after(ms(50)),
    );
    assert_eq!(status, ExitStatus::StopFailed);
    assert!(began.elapsed() < ms(2_500), "{:?}", began.elapsed());
    drop(release);
}

async fn tokio_after(length: Duration) {
    tokio::time::sleep(length).await;
}
