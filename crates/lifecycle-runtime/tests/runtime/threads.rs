//! Components that block their thread, on real threads and in real time. Every wait is bounded.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_core::component::from_fn;
use lifecycle_core::engine::{ComponentState, StopOutcome};
use lifecycle_core::{
    BoxError, Component, Criticality, Lifecycle, Registration, Retry, StartContext, StopContext,
};
use lifecycle_runtime::{ExitStatus, Handle, Host, HostConfig, StopError};

use crate::kit::*;
use crate::observing::Meter;

/// Lets go of everything that blocks when dropped.
type Release = mpsc::Sender<()>;

/// A component whose start blocks its thread until it is released.
fn blocking() -> (Component, Release) {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let component = from_fn(
        move |_| {
            let _ = released.lock().unwrap().recv();
            std::future::ready(Ok(()))
        },
        async |_| Ok(()),
    );
    (component, release)
}

/// Runs `course` with a handle, driven on another runtime than the two threads of its components.
fn on_real_threads<T>(
    registrations: Vec<Registration>,
    course: impl AsyncFnOnce(Handle) -> T,
) -> T {
    let components = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
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
    components.shutdown_timeout(Duration::from_secs(1));
    outcome
}

#[test]
fn museum_24_a_component_that_blocks_its_thread_is_abandoned_and_named_while_others_go_on() {
    let journal = Journal::default();
    let (component, release) = blocking();
    let blocked = Registration::new("blocked", component)
        .criticality(Criticality::Degradable)
        .start_retry(Retry::attempts(3).with_attempt_timeout(ms(50)))
        .abort_grace(ms(50));
    on_real_threads(vec![blocked, plain("fine", &journal)], async |handle| {
        let report = handle.start().await.unwrap();
        assert_eq!(report.running, 1);
        assert_eq!(journal.count("started fine"), 1);
        let status = handle.status().get();
        let [abandoned] = &status.abandoned[..] else {
            panic!("{status:?}");
        };
        assert_eq!(abandoned.component.as_str(), "blocked");
        assert_eq!(abandoned.tasks, ["start"]);
        assert_eq!(status.count(ComponentState::Faulted), 1);

        // It is never called again in this process.
        handle.stop().await.ok();
        assert_eq!(handle.start().await.unwrap().running, 1);
        handle.stop().await.ok();
        drop(release);
    });
}

/// As [`on_real_threads`], with the driver on the two threads of its components.
fn on_shared_threads<T>(
    registrations: Vec<Registration>,
    course: impl AsyncFnOnce(Handle) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let handle = run_with(registrations, |_| {});
        let limited = tokio::time::timeout(Duration::from_secs(10), course(handle));
        limited.await.expect("the course takes no ten seconds")
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// A component whose start blocks its thread for longer than a test may take, and is given up after a moment.
fn given_up() -> (Registration, Release) {
    let (component, release) = blocking();
    let registration = Registration::new("blocked", component)
        .criticality(Criticality::Degradable)
        .start_retry(Retry::attempts(1).with_attempt_timeout(ms(50)))
        .abort_grace(ms(50));
    (registration, release)
}

/// Whom a call wakes last waits for the thread that the call was on, unless that is given way at once.
#[test]
fn a_call_that_blocks_after_one_that_is_over_keeps_no_driver_waiting_that_shares_its_threads() {
    for _ in 0..20 {
        let (blocked, release) = given_up();
        let first = plain("first", &Journal::default());
        on_shared_threads(vec![first, blocked], async |handle| {
            assert_eq!(handle.start().await.unwrap().running, 1);
            drop(release);
        });
    }
}

#[test]
fn a_call_that_goes_on_is_not_kept_waiting_by_one_that_blocks_after_it() {
    for _ in 0..20 {
        let (blocked, release) = given_up();
        let going_on = from_fn(
            async |_| {
                tokio::task::yield_now().await;
                Ok(())
            },
            async |_| Ok(()),
        );
        let first = Registration::new("first", going_on);
        on_real_threads(vec![first, blocked], async |handle| {
            assert_eq!(handle.start().await.unwrap().running, 1);
            drop(release);
        });
    }
}

#[test]
fn a_task_that_blocks_its_thread_is_abandoned_by_name_and_the_stop_keeps_its_deadline() {
    let journal = Journal::default();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let component = from_fn(
        move |cx: StartContext| {
            let released = released.lock().unwrap().take().unwrap();
            cx.spawn("spin", async move {
                let _ = released.recv();
            });
            std::future::ready(Ok(()))
        },
        async |_| Ok(()),
    );
    let blocked = Registration::new("blocked", component).depends_on(["pool"]);
    on_real_threads(vec![plain("pool", &journal), blocked], async |handle| {
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
        assert_eq!(handle.status().get().abandoned[0].tasks, ["spin"]);
        assert_eq!(journal.count("stopped pool"), 1);
        drop(release);
    });
}

/// Counts down, and lets wait until nothing is left.
struct Countdown(std::sync::Mutex<usize>, std::sync::Condvar);

impl Countdown {
    fn count(&self) {
        *self.0.lock().unwrap() -= 1;
        self.1.notify_all();
    }

    /// Blocks the thread.
    fn wait(&self) -> Result<(), BoxError> {
        let left = self.0.lock().unwrap();
        let waited = self.1.wait_timeout_while(left, ms(8_000), |it| *it > 0);
        let (left, timeout) = waited.unwrap();
        if timeout.timed_out() {
            return Err(format!("{left} others were held up").into());
        }
        Ok(())
    }
}

/// Stops two hundred components at once; the stops of the first `blocking` block their threads, by `block`, until all others
/// have stopped.
fn stop_beside(
    blocking: usize,
    block: fn(&Countdown) -> Result<(), BoxError>,
) -> Result<(), StopError> {
    const ALL: usize = 200;
    let others = Arc::new(Countdown(
        std::sync::Mutex::new(ALL - blocking),
        std::sync::Condvar::new(),
    ));
    let registrations = (0..ALL).map(|index| {
        let others = Arc::clone(&others);
        let stop = move |_: StopContext| {
            let stopped = if index < blocking {
                block(&others)
            } else {
                others.count();
                Ok(())
            };
            std::future::ready(stopped)
        };
        let component = from_fn(async |_| Ok(()), stop);
        Registration::new(format!("c{index}"), component)
            .stop_retry(Retry::attempts(1).with_attempt_timeout(ms(9_000)))
    });
    on_real_threads(registrations.collect(), async |handle| {
        handle.start().await.unwrap();
        handle.stop().await.map(drop)
    })
}

#[test]
fn a_stop_that_blocks_its_thread_holds_up_none_of_many_that_begin_with_it() {
    stop_beside(1, Countdown::wait).unwrap();
}

#[test]
fn stops_that_block_in_place_hold_up_none_of_many_however_few_threads_there_are() {
    stop_beside(9, |others| tokio::task::block_in_place(|| others.wait())).unwrap();
}

/// Blocks a thread by its task, and another by its dispose.
struct Stubborn(std::sync::Mutex<Vec<mpsc::Receiver<()>>>);

impl Stubborn {
    fn new() -> (Self, [Release; 2]) {
        let ((task, held), (dispose, holding)) = (mpsc::channel(), mpsc::channel());
        let released = std::sync::Mutex::new(vec![held, holding]);
        (Self(released), [task, dispose])
    }

    fn next(&self) -> mpsc::Receiver<()> {
        self.0.lock().unwrap().pop().unwrap()
    }
}

impl Lifecycle for Stubborn {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let released = self.next();
        cx.spawn("spin", async move {
            let _ = released.recv();
        });
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        let _ = self.next().recv();
        Ok(())
    }
}

#[test]
fn what_is_abandoned_for_its_tasks_and_again_for_its_dispose_is_listed_and_counted_once() {
    let meter = Meter::default();
    let _guard = metrics::set_default_local_recorder(&meter);
    let (stubborn, release) = Stubborn::new();
    let stubborn = Registration::new("stubborn", stubborn)
        .abort_grace(ms(50))
        .dispose_timeout(ms(50));
    on_real_threads(vec![stubborn], async |handle| {
        handle.start().await.unwrap();
        let deadline = tokio::time::Instant::now() + ms(1_000);
        handle.stop_by(deadline).await.unwrap_err();
        let abandoned = status(&handle).abandoned;
        assert_eq!(abandoned.len(), 1, "{abandoned:?}");
        assert_eq!(abandoned[0].tasks, ["spin", "dispose"]);
        let counted = meter.value("lifecycle_abandoned_tasks_total{}");
        assert!((counted - 2.0).abs() < f64::EPSILON, "{counted}");
        drop(release);
    });
}

#[test]
fn abandoning_thousands_takes_the_driver_no_time() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    // Nobody drives the components' runtime: as if every call blocked a thread.
    let (driver, components) = (runtime(), runtime());
    let registrations = (0..5_000).map(|number| {
        Registration::new(number.to_string(), blocking().0)
            .criticality(Criticality::Optional)
            .start_retry(Retry::none().with_attempt_timeout(ms(50)))
            .abort_grace(ms(50))
    });
    let began = Instant::now();
    let abandoned = driver.block_on(async {
        let handle = run_with(registrations, |it| {
            it.components_on(components.handle().clone());
        });
        let _ = handle.start().await;
        status(&handle).abandoned
    });
    assert_eq!(abandoned.len(), 5_000);
    assert!(began.elapsed() < ms(1_000), "{:?}", began.elapsed());
}

#[test]
fn a_host_ends_although_a_thread_is_blocked() {
    let (component, release) = blocking();
    let (ended, end) = mpsc::channel();
    let host = thread::spawn(move || {
        let config = HostConfig {
            leftover_timeout: ms(50),
            ..HostConfig::default()
        };
        let status = Host::run_until(
            config,
            |host| {
                let registration = Registration::new("blocked", component)
                    .start_retry(Retry::none().with_attempt_timeout(ms(50)))
                    .abort_grace(ms(50));
                host.register(registration);
                Ok(())
            },
            std::future::pending(),
        );
        ended.send(status).unwrap();
    });
    let status = end.recv_timeout(Duration::from_secs(10));
    assert_eq!(status, Ok(ExitStatus::StartFailed));
    drop(release);
    host.join().unwrap();
}

/// A component that keeps `value` until it is dropped itself.
fn keeping(name: &'static str, value: impl Send + Sync + 'static) -> Registration {
    let start = move |_| {
        let _kept = &value;
        std::future::ready(Ok(()))
    };
    Registration::new(name, from_fn(start, async |_| Ok(())))
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("no mood to go");
    }
}

/// Blocks when dropped, until the other end is gone.
struct BlocksWhenDropped(std::sync::Mutex<mpsc::Receiver<()>>);

impl Drop for BlocksWhenDropped {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

fn blocking_when_dropped() -> (BlocksWhenDropped, Release) {
    let (release, released) = mpsc::channel();
    (BlocksWhenDropped(std::sync::Mutex::new(released)), release)
}

/// Tells that it was dropped.
struct Witness(mpsc::Sender<()>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn witness() -> (Witness, mpsc::Receiver<()>) {
    let (dropped, told) = mpsc::channel();
    (Witness(dropped), told)
}

/// Two threads, and little patience with them.
fn hasty() -> HostConfig {
    HostConfig {
        worker_threads: std::num::NonZeroUsize::new(2),
        leftover_timeout: ms(200),
        ..HostConfig::default()
    }
}

async fn soon() {
    tokio::time::sleep(ms(100)).await;
}

/// Runs a host with `registrations` on a thread of its own, which must end in time.
#[track_caller]
fn host_of(
    registrations: Vec<Registration>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> ExitStatus {
    host_built(registrations, Ok(()), shutdown)
}

/// As [`host_of`]; its build ends with `built`.
#[track_caller]
fn host_built(
    registrations: Vec<Registration>,
    built: Result<(), BoxError>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> ExitStatus {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let build = |host: &mut lifecycle_runtime::OrchestratorBuilder| {
            host.registrations(registrations);
            built
        };
        let _ = ended.send(Host::run_until(hasty(), build, shutdown));
    });
    end.recv_timeout(Duration::from_secs(5))
        .expect("the host ends")
}

#[test]
fn two_values_that_panic_when_dropped_do_not_spoil_a_clean_end() {
    let values = || {
        vec![
            keeping("a", PanicsWhenDropped),
            keeping("b", PanicsWhenDropped),
        ]
    };
    assert_eq!(host_of(values(), soon()), ExitStatus::Clean);
}

#[test]
fn a_value_that_blocks_when_dropped_does_not_keep_another_from_being_dropped() {
    let (blocks, release) = blocking_when_dropped();
    let (witness, told) = witness();
    let values = vec![keeping("blocks", blocks), keeping("witness", witness)];
    assert_eq!(host_of(values, soon()), ExitStatus::Clean);
    assert_eq!(told.recv_timeout(Duration::from_secs(5)), Ok(()));
    drop(release);
}

#[test]
fn a_driver_whose_runtime_is_gone_drops_values_quietly() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (witness, told) = witness();
    let (driver, components) = (runtime(), runtime());
    let handle = {
        let _entered = driver.enter();
        let values = [
            keeping("a", PanicsWhenDropped),
            keeping("b", PanicsWhenDropped),
            keeping("witness", witness),
        ];
        run_with(values, |it| {
            it.components_on(components.handle().clone());
        })
    };
    drop(components);
    drop(driver);
    assert_eq!(told.try_recv(), Ok(()));
    drop(handle);
}

#[test]
fn a_host_starts_stops_when_told_and_says_how_it_went() {
    let journal = Journal::default();
    let (clean, sticky) = (journal.clone(), journal.clone());
    let ready = || async { tokio::time::sleep(ms(100)).await };
    let status = Host::run_until(
        HostConfig::default(),
        move |host| {
            host.register(plain("a", &clean));
            Ok(())
        },
        ready(),
    );
    assert_eq!(status, ExitStatus::Clean);
    assert_eq!(
        journal.take(),
        "start a, started a, stop a, stopped a, disposed a"
    );
    let status = Host::run_until(
        HostConfig::default(),
        move |host| {
            host.register(scripted(Scripted::new("a", &sticky).stops([Act::Fail])));
            Ok(())
        },
        ready(),
    );
    assert_eq!(status, ExitStatus::StopFailed);
    journal.assert_no_leak();
}

#[test]
fn museum_04_a_host_that_is_told_to_stop_before_it_starts_starts_nothing() {
    let journal = Journal::default();
    let notes = journal.clone();
    let status = Host::run_until(
        HostConfig::default(),
        move |host| {
            host.register(plain("a", &notes));
            Ok(())
        },
        std::future::ready(()),
    );
    assert_eq!(status, ExitStatus::Clean);
    assert_eq!(journal.take(), "");
}

#[test]
fn a_host_told_to_stop_before_it_starts_survives_what_its_values_do_when_dropped() {
    let (blocks, release) = blocking_when_dropped();
    let (witness, told) = witness();
    let values = vec![
        keeping("a", PanicsWhenDropped),
        keeping("b", PanicsWhenDropped),
        keeping("blocks", blocks),
        keeping("witness", witness),
    ];
    assert_eq!(host_of(values, std::future::ready(())), ExitStatus::Clean);
    assert_eq!(told.recv_timeout(Duration::from_secs(5)), Ok(()));
    drop(release);
}

#[test]
fn a_host_that_cannot_be_built_survives_what_its_values_do_when_dropped() {
    for (fault, built) in [("nobody", Ok(())), ("blocks", Err("no such file".into()))] {
        let (blocks, release) = blocking_when_dropped();
        let (witness, told) = witness();
        let values = vec![
            keeping("a", PanicsWhenDropped),
            keeping("b", PanicsWhenDropped).depends_on([fault]),
            keeping("blocks", blocks),
            keeping("witness", witness),
        ];
        let status = host_built(values, built, std::future::pending());
        assert_eq!(status, ExitStatus::Configuration);
        assert_eq!(told.recv_timeout(Duration::from_secs(5)), Ok(()));
        drop(release);
    }
}

#[test]
fn museum_23_a_host_that_cannot_be_built_says_so_by_its_status() {
    let journal = Journal::default();
    let faulty = |host: &mut lifecycle_runtime::OrchestratorBuilder| {
        host.register(plain("a", &journal).depends_on(["nobody"]));
        Ok(())
    };
    let status = Host::run_until(HostConfig::default(), faulty, std::future::pending());
    assert_eq!(status, ExitStatus::Configuration);
    let refusing = |_: &mut lifecycle_runtime::OrchestratorBuilder| Err("no such file".into());
    let status = Host::run_until(HostConfig::default(), refusing, std::future::pending());
    assert_eq!(status, ExitStatus::Configuration);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_whose_deadline_was_past_nothing_is_abandoned_and_all_starts_again() {
    let looping = |name: &str| {
        let start = async |cx: StartContext| {
            let token = cx.run_token();
            cx.spawn("loop", async move { token.cancelled().await });
            Ok(())
        };
        Registration::new(name, from_fn(start, async |_| Ok(())))
    };
    let handle = run([looping("a"), looping("b").depends_on(["a"])]);
    handle.start().await.unwrap();
    let past = tokio::time::Instant::now() - ms(100);
    handle
        .stop_by(past)
        .await
        .expect_err("nobody could be asked");
    assert_eq!(handle.status().get().abandoned.len(), 0);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
}
