//! Polls that hold their thread, seen while they do. On real threads and in real time; every wait is bounded.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_core::component::from_fn;
use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::{Blocked, Handle, Orchestrator};

use crate::kit::*;
use crate::observing::Meter;

/// What holds its thread until the other end is dropped.
struct Held(Mutex<Option<mpsc::Receiver<()>>>);

impl Held {
    fn new() -> (Self, mpsc::Sender<()>) {
        let (release, held) = mpsc::channel();
        (Self(Mutex::new(Some(held))), release)
    }

    fn hold(&self) {
        let held = self.0.lock().unwrap().take();
        if let Some(held) = held {
            let _ = held.recv();
        }
    }
}

/// Holds its thread in a task that it spawns.
struct Spinner(Held);

impl Lifecycle for Spinner {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let held = self.0.0.lock().unwrap().take();
        let reporter = cx.reporter();
        cx.spawn("spin", async move {
            reporter.progress("turn 7");
            if let Some(held) = held {
                let _ = held.recv();
            }
        });
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Drives `registrations` on a thread of its own, which components share: what blocks it blocks the driver.
fn on_one_thread(registrations: Vec<Registration>, watched: Option<Duration>) -> Handle {
    let (tell, told) = mpsc::channel();
    let driving = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        if let Some(after) = watched {
            builder.watch_blocked(after);
        }
        let orchestrator = builder.build().unwrap();
        let handle = orchestrator.handle();
        tell.send(handle.clone()).unwrap();
        runtime.block_on(async move {
            let driving = tokio::spawn(orchestrator.run());
            let _ = handle.start().await;
            drop(handle);
            let _ = driving.await;
        });
    };
    thread::Builder::new()
        .name("the only one".to_owned())
        .spawn(driving)
        .unwrap();
    told.recv().unwrap()
}

/// What blocks, once there is something or nothing any more.
#[track_caller]
fn until(handle: &Handle, condition: impl Fn(&[Blocked]) -> bool) -> Vec<Blocked> {
    let began = Instant::now();
    loop {
        let blocked = handle.blocked();
        if condition(&blocked) {
            return blocked;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{blocked:?}");
        thread::park_timeout(ms(5));
    }
}

#[test]
fn semantics_30_a_task_that_blocks_the_thread_of_all_is_named_while_it_does() {
    let (held, release) = Held::new();
    let registrations = vec![Registration::new("spinner", Spinner(held))];
    let handle = on_one_thread(registrations, Some(ms(40)));
    let blocked = until(&handle, |it| !it.is_empty());
    let [only] = &blocked[..] else {
        panic!("{blocked:?}");
    };
    assert_eq!(only.component.as_str(), "spinner");
    assert_eq!(only.generation, Some(1));
    assert_eq!(only.what, "spin");
    assert_eq!(&*only.thread, "the only one");
    assert_eq!(only.progress.as_deref(), Some("turn 7"));
    assert!(!only.isolated);
    assert!(only.since <= handle.clock().now());
    drop(release);
    until(&handle, <[Blocked]>::is_empty);
}

#[test]
fn a_call_that_blocks_is_named_by_its_phase() {
    let (held, release) = Held::new();
    let start = move |_| {
        held.hold();
        std::future::ready(Ok(()))
    };
    let component = from_fn(start, async |_| Ok(()));
    let handle = on_one_thread(vec![Registration::new("slow", component)], Some(ms(40)));
    let blocked = until(&handle, |it| !it.is_empty());
    assert_eq!(
        (blocked[0].component.as_str(), &*blocked[0].what),
        ("slow", "start")
    );
    drop(release);
    until(&handle, <[Blocked]>::is_empty);
}

#[test]
fn what_is_dropped_without_having_ended_is_named_when_that_blocks() {
    let (held, release) = Held::new();
    let start = move |cx: StartContext| {
        let held = HoldsWhenDropped(Held(Mutex::new(held.0.lock().unwrap().take())));
        cx.spawn("flush", async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        std::future::ready(Ok(()))
    };
    let component = from_fn(start, async |_| Ok(()));
    let registration = Registration::new("log", component).abort_grace(ms(20));
    let components = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let driver = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    driver.block_on(async {
        let handle = run_with([registration], |it| {
            it.components_on(components.handle().clone())
                .watch_blocked(ms(40));
        });
        handle.start().await.unwrap();
        let deadline = tokio::time::Instant::now() + ms(100);
        handle.stop_by(deadline).await.unwrap_err();
        let blocked = until(&handle, |it| !it.is_empty());
        assert_eq!(
            (blocked[0].component.as_str(), &*blocked[0].what),
            ("log", "flush")
        );
        drop(release);
        until(&handle, <[Blocked]>::is_empty);
    });
    components.shutdown_timeout(Duration::from_secs(1));
}

struct HoldsWhenDropped(Held);

impl Drop for HoldsWhenDropped {
    fn drop(&mut self) {
        self.0.hold();
    }
}

#[test]
fn nobody_watches_unless_asked_to() {
    let (held, release) = Held::new();
    let handle = on_one_thread(vec![Registration::new("spinner", Spinner(held))], None);
    thread::park_timeout(ms(200));
    assert_eq!(handle.blocked(), []);
    drop(release);
}

#[test]
fn polls_that_return_are_never_named_however_many_there_are() {
    let start = async |cx: StartContext| {
        let token = cx.run_token();
        cx.spawn("busy", async move {
            while !token.is_cancelled() {
                tokio::task::yield_now().await;
            }
        });
        Ok(())
    };
    let component = from_fn(start, async |_| Ok(()));
    let handle = on_one_thread(vec![Registration::new("busy", component)], Some(ms(40)));
    let began = Instant::now();
    while began.elapsed() < ms(300) {
        assert_eq!(handle.blocked(), []);
        thread::park_timeout(ms(5));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(handle.stop()).unwrap();
}

#[test]
fn the_metric_counts_what_blocks() {
    let meter = Meter::default();
    let (held, release) = Held::new();
    let recorder = meter.clone();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _guard = metrics::set_default_local_recorder(&recorder);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let registration = Registration::new("spinner", Spinner(held));
            let handle = run_with([registration], |it| {
                it.watch_blocked(ms(40));
            });
            tell.send(handle.clone()).unwrap();
            let _ = handle.start().await;
            let _ = handle.stop().await;
        });
    });
    let handle = told.recv().unwrap();
    let is = |value: f64| {
        let began = Instant::now();
        while (meter.value("lifecycle_blocked_polls{}") - value).abs() > f64::EPSILON {
            assert!(began.elapsed() < Duration::from_secs(10));
            thread::park_timeout(ms(5));
        }
    };
    until(&handle, |it| !it.is_empty());
    is(1.0);
    drop(release);
    until(&handle, <[Blocked]>::is_empty);
    is(0.0);
}
