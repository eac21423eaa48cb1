//! When an interval ticks, and how it ends. Time is paused in all of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_adapters::{First, Interval, Tick};
use lifecycle_core::{BoxError, Defaults, Lifecycle as _, StartContext};
use tokio::time::{Instant, sleep, sleep_until};

use crate::scope::TestScope;
use crate::support::drive;

const PERIOD: Duration = Duration::from_secs(10);

/// When ticks began and ended, in seconds since the first look at the clock.
#[derive(Clone)]
struct Journal {
    origin: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            lines: Arc::default(),
        }
    }

    fn note(&self, what: &str) {
        let at = self.origin.elapsed().as_secs();
        self.lines.lock().unwrap().push(format!("{what} at {at}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    async fn until(&self, second: u64) {
        // A moment later than what happens in that second.
        let moment = Duration::from_millis(second * 1_000 + 500);
        sleep_until(self.origin + moment).await;
    }
}

/// Notes when its tick is dropped before its end.
struct Ending<'a> {
    journal: &'a Journal,
    ended: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let what = if self.ended { "end" } else { "cut" };
        self.journal.note(what);
    }
}

/// An interval whose ticks take as long as `takes` says of their number.
fn slow(
    journal: &Journal,
    takes: impl Fn(u64) -> u64 + Copy + Send + Sync + 'static,
) -> Interval<impl Fn(Tick) -> lifecycle_core::BoxFuture<'static, ()> + Send + Sync + 'static> {
    let journal = journal.clone();
    Interval::every(PERIOD, move |tick: Tick| {
        let journal = journal.clone();
        let future = async move {
            journal.note(&format!("tick {}", tick.number()));
            let mut ending = Ending {
                journal: &journal,
                ended: false,
            };
            sleep(Duration::from_secs(takes(tick.number()))).await;
            ending.ended = true;
        };
        Box::pin(future) as lifecycle_core::BoxFuture<'static, ()>
    })
}

#[tokio::test(start_paused = true)]
async fn it_ticks_at_once_and_then_once_a_period() {
    let journal = Journal::new();
    let handle = drive(slow(&journal, |_| 1), Defaults::default());
    handle.start().await.expect("the start succeeds");
    journal.until(21).await;
    let ticks = [
        "tick 1 at 0",
        "end at 1",
        "tick 2 at 10",
        "end at 11",
        "tick 3 at 20",
        "end at 21",
    ];
    assert_eq!(journal.take(), ticks);
    handle.stop().await.expect("the stop is clean");
    journal.until(100).await;
    assert!(journal.take().is_empty(), "it ticks no more");
}

#[tokio::test(start_paused = true)]
async fn starting_what_ticks_changes_nothing() {
    let journal = Journal::new();
    let interval = slow(&journal, |_| 1);
    let scope = TestScope::new();
    let cx = StartContext::new(scope.clone());
    interval.start(&cx).await.expect("nothing can fail");
    journal.until(5).await;
    interval.start(&cx).await.expect("it runs");
    journal.until(11).await;
    let ticks = ["tick 1 at 0", "end at 1", "tick 2 at 10", "end at 11"];
    assert_eq!(journal.take(), ticks);
    scope.run.cancel();
    interval.dispose().await.expect("nothing is left");
}

#[tokio::test(start_paused = true)]
async fn the_first_tick_may_be_one_period_after_the_start() {
    let journal = Journal::new();
    let interval = slow(&journal, |_| 0).first(First::AfterOnePeriod);
    let handle = drive(interval, Defaults::default());
    handle.start().await.expect("the start succeeds");
    journal.until(9).await;
    assert!(journal.take().is_empty());
    journal.until(10).await;
    assert_eq!(journal.take(), ["tick 1 at 10", "end at 10"]);
    handle.stop().await.expect("the stop is clean");
}

#[tokio::test(start_paused = true)]
async fn ticks_that_were_missed_are_not_made_up_for() {
    let journal = Journal::new();
    let late = |tick| if tick == 1 { 35 } else { 1 };
    let handle = drive(slow(&journal, late), Defaults::default());
    handle.start().await.expect("the start succeeds");
    journal.until(56).await;
    let ticks = [
        "tick 1 at 0",
        "end at 35",
        "tick 2 at 35",
        "end at 36",
        "tick 3 at 45",
        "end at 46",
        "tick 4 at 55",
        "end at 56",
    ];
    assert_eq!(journal.take(), ticks);
    handle.stop().await.expect("the stop is clean");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_present_tick_finish_and_begins_no_other() {
    let journal = Journal::new();
    let handle = drive(slow(&journal, |_| 5), Defaults::default());
    handle.start().await.expect("the start succeeds");
    journal.until(2).await;
    handle.stop().await.expect("the stop is clean");
    assert_eq!(journal.take(), ["tick 1 at 0", "end at 5"]);
    assert_eq!(journal.origin.elapsed().as_secs(), 5);

    handle.start().await.expect("it starts anew");
    journal.until(6).await;
    assert_eq!(journal.take(), ["tick 1 at 5"]);
    handle.stop().await.expect("the stop is clean");
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_cuts_the_present_tick_off_and_is_clean() {
    let journal = Journal::new();
    let handle = drive(slow(&journal, |_| 60), Defaults::default());
    handle.start().await.expect("the start succeeds");
    journal.until(2).await;
    handle.force().await.expect("what is cut off is stopped");
    assert_eq!(journal.take(), ["tick 1 at 0", "cut at 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_outlasts_the_stop_is_cut_off_before_its_time_is_up() {
    let journal = Journal::new();
    let handle = drive(slow(&journal, |_| 60), Defaults::default());
    handle.start().await.expect("the start succeeds");
    journal.until(2).await;
    handle.stop().await.expect("what is cut off is stopped");
    let took = journal.origin.elapsed() - Duration::from_millis(2_500);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(journal.take().last().unwrap(), "cut at 12");
}

#[tokio::test(start_paused = true)]
async fn a_tick_hears_that_it_shall_come_to_an_end() {
    let interval = Interval::every(PERIOD, async |tick: Tick| tick.cancelled().await);
    let handle = drive(interval, Defaults::default());
    handle.start().await.expect("the start succeeds");
    let begin = Instant::now();
    handle.stop().await.expect("the stop is clean");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_tick_is_a_loss_of_the_component() {
    let fails = async |tick: Tick| match tick.number() {
        3 => Err::<(), BoxError>("the disk is full".into()),
        _ => Ok(()),
    };
    let handle = drive(Interval::every(PERIOD, fails), Defaults::default());
    let mut status = handle.status();
    handle.start().await.expect("the start succeeds");
    let begin = Instant::now();
    let lost = status.wait_for(|it| !it.ready).await;
    lost.expect("the loss is noticed");
    assert_eq!(begin.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_tick_is_a_loss_of_the_component() {
    let panics = async |tick: Tick| assert_eq!(tick.number(), 0, "they are counted from 1");
    let handle = drive(
        Interval::every(PERIOD, panics).first(First::AfterOnePeriod),
        Defaults::default(),
    );
    let mut status = handle.status();
    handle.start().await.expect("the start succeeds");
    let lost = status.wait_for(|it| !it.ready).await;
    lost.expect("the loss is noticed");
}
