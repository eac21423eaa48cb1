//! A hundred of ten thousand components that never finish their stop, in real time: what is promised must hold on a machine.

#![expect(clippy::print_stdout, reason = "the figures are a result of the test")]

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifecycle_core::engine::StopOutcome;
use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::Orchestrator;
use tokio::time::Instant;

const ALL: usize = 10_000;
const EVERY: usize = 100;
const DEADLINE: Duration = Duration::from_secs(1);
/// What a busy machine is allowed beyond the deadline; the figure of an idle one is in the pages.
const SLACK: Duration = Duration::from_millis(500);

struct Member {
    hangs: bool,
    disposed: Arc<AtomicUsize>,
}

impl Lifecycle for Member {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        if self.hangs {
            cx.progress("waiting for Godot");
            future::pending::<()>().await;
        }
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.disposed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_ten_thousand_that_hang_are_named_and_the_rest_is_stopped_in_time() {
    let disposed = Arc::new(AtomicUsize::new(0));
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new(
        "base",
        Member {
            hangs: false,
            disposed: Arc::clone(&disposed),
        },
    ));
    builder.registrations((0..ALL).map(|index| {
        let member = Member {
            hangs: index % EVERY == 0,
            disposed: Arc::clone(&disposed),
        };
        Registration::new(format!("member-{index}"), member).depends_on(["base"])
    }));
    let handle = builder.build().unwrap().spawn();
    handle.start().await.unwrap();
    let began = Instant::now();
    let error = handle.stop_by(began + DEADLINE).await.unwrap_err();
    let took = began.elapsed();

    println!(
        "{} of {} hung: {} ms beyond the deadline of {} ms",
        ALL / EVERY,
        ALL,
        took.saturating_sub(DEADLINE).as_millis(),
        DEADLINE.as_millis()
    );
    let report = error.report().unwrap();
    let hung: Vec<_> = report.troubles.iter().filter(|it| it.is_error()).collect();
    assert_eq!(hung.len(), ALL / EVERY);
    for trouble in hung {
        assert_eq!(trouble.outcome, StopOutcome::Aborted);
        let hang = trouble.hang.as_ref().unwrap();
        assert_eq!(hang.progress.as_deref(), Some("waiting for Godot"));
        assert_eq!(trouble.awaited_by[0].as_str(), "base");
    }
    assert_eq!(disposed.load(Ordering::SeqCst), ALL + 1);
    assert!(took < DEADLINE + SLACK, "{took:?}");
}
