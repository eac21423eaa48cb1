//! [`Ledger`]: operations that go on without who asked for them, and what became of the last of them.
//!
//! What somebody has begun is no future of a request, which ends when the client hangs up; nor a task, which ends with the
//! runtime of a thread that is itself restarted by such an operation. It is a future in here, and moved on by whoever
//! [carries on](Ledger::carry_on): the diagnostics' thread, and between two of these who wants something new.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use axum::http::StatusCode;
use lifecycle_core::Time;
use lifecycle_core::engine::Intent;
use lifecycle_runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::audit::Entry;
use crate::problem::Problem;

/// How many operations are remembered, and how many may be under way.
pub(crate) const KEPT: usize = 100;

/// Why something did not come about.
#[derive(Debug)]
pub(crate) enum Miss {
    /// Nothing has changed.
    Refused(Problem),
    /// It had begun.
    Failed(String),
}

/// What has come of something that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was worked on.
    Worked,
    /// It was so already, or needs no time: how it is now says it all.
    AtOnce,
}

/// Something that somebody wants.
pub(crate) struct Plea {
    pub(crate) operation: &'static str,
    /// As the orchestrator calls it.
    pub(crate) component: Option<String>,
    pub(crate) intent: Intent,
    pub(crate) deadline: Option<Time>,
    /// Does it. It asks the orchestrator when it is first polled, and needs no runtime.
    pub(crate) work: Work,
    /// Notified when the moment has come.
    pub(crate) alarm: Option<(Instant, Arc<Notify>)>,
    pub(crate) entry: Entry,
}

/// What does something, wherever it is polled.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Done, Miss>> + Send>>;

/// What was let through, and what has become of it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) operation: &'static str,
    pub(crate) component: Option<String>,
    pub(crate) intent: Intent,
    pub(crate) deadline: Option<Time>,
    pub(crate) started: Time,
    pub(crate) ended: Option<Ended>,
}

/// The end of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Time,
    /// What has come of it, or why it has failed.
    pub(crate) done: Result<Done, String>,
}

pub(crate) struct Ledger {
    handle: Handle,
    records: Arc<Records>,
    places: Arc<Semaphore>,
    /// Bounded by the places.
    arrivals: mpsc::UnboundedSender<Watch>,
    floor: tokio::sync::Mutex<Floor>,
}

#[derive(Default)]
struct Records(Mutex<Book>);

#[derive(Default)]
struct Book {
    last_number: u64,
    /// The oldest first.
    records: VecDeque<Record>,
}

/// What is under way; belongs to who moves it on.
struct Floor {
    arrivals: mpsc::UnboundedReceiver<Watch>,
    watches: Vec<Watch>,
}

struct Watch {
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    alarm: Option<(Instant, Arc<Notify>)>,
}

impl Ledger {
    pub(crate) fn new(handle: Handle) -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        Self {
            handle,
            records: Arc::default(),
            places: Arc::new(Semaphore::new(KEPT)),
            arrivals: sender,
            floor: tokio::sync::Mutex::new(Floor {
                arrivals,
                watches: Vec::new(),
            }),
        }
    }

    /// Does what `plea` says. Returns its record once it has begun, or is done already.
    ///
    /// # Errors
    ///
    /// When the orchestrator refuses it, or too much is under way.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it goes on, and leaves its audit line and its record.
    pub(crate) async fn begin(&self, plea: Plea) -> Result<Record, Problem> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let detail =
                format!("{KEPT} operations are under way; wait until one of them has ended");
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
            plea.entry.refused(&problem);
            return Err(problem);
        };
        let (tell, told) = oneshot::channel();
        let (handle, records) = (self.handle.clone(), Arc::clone(&self.records));
        let alarm = plea.alarm.clone();
        let work = async move {
            follow(&handle, &records, plea, tell).await;
            drop(place);
        };
        let work = Box::pin(work);
        // Both ends live as long as the ledger.
        let _ = self.arrivals.send(Watch { work, alarm });
        tokio::select! {
            biased;
            told = told => told.unwrap_or_else(|_| {
                let detail = "nobody knows what became of this; look at the component";
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
            }),
            () = self.carry_on() => unreachable!("it goes on for ever"),
        }
    }

    /// Moves on what is under way, if nobody else does; for ever.
    ///
    /// # Cancel safety
    ///
    /// Safe: what is under way stays, for who carries on next.
    pub(crate) async fn carry_on(&self) {
        let mut floor = self.floor.lock().await;
        let Floor { arrivals, watches } = &mut *floor;
        loop {
            let alarms = watches.iter().filter_map(|it| it.alarm.as_ref());
            let next = alarms.map(|(at, _)| *at).min();
            tokio::select! {
                biased;
                Some(watch) = arrivals.recv() => watches.push(watch),
                () = one_ends(watches) => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => ring(watches),
            }
        }
    }

    /// The record with `number`.
    pub(crate) fn find(&self, number: u64) -> Option<Record> {
        let book = self.records.book();
        book.records.iter().find(|it| it.number == number).cloned()
    }

    /// All that is remembered, the latest first.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.records.book().records.iter().rev().cloned().collect()
    }
}

/// Polls everything once a turn: there are few, and each has its own waker only at the price of a task.
async fn one_ends(watches: &mut Vec<Watch>) {
    poll_fn(|cx| {
        let before = watches.len();
        watches.retain_mut(|it| it.work.as_mut().poll(cx).is_pending());
        match watches.len() < before {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

fn ring(watches: &mut [Watch]) {
    let now = Instant::now();
    for watch in watches {
        if let Some((_, alarm)) = watch.alarm.take_if(|(at, _)| *at <= now) {
            alarm.notify_one();
        }
    }
}

/// Has `plea` done, writes down what becomes of it, and tells who asked as soon as that is known to have begun.
async fn follow(
    handle: &Handle,
    records: &Records,
    plea: Plea,
    tell: oneshot::Sender<Result<Record, Problem>>,
) {
    let Plea {
        mut work, entry, ..
    } = plea;
    let clock = handle.clock();
    let record = Record {
        number: 0,
        operation: plea.operation,
        component: plea.component,
        intent: plea.intent,
        deadline: plea.deadline,
        started: clock.now(),
        ended: None,
    };
    // What is refused, or done at once, is answered before a snapshot that was asked for later.
    let at_once = tokio::select! {
        biased;
        done = &mut work => Some(done),
        _ = handle.snapshot() => None,
    };
    if let Some(Err(Miss::Refused(problem))) = at_once {
        entry.refused(&problem);
        let _ = tell.send(Err(problem));
        return;
    }
    let number = records.open(record);
    let done = match at_once {
        Some(done) => {
            entry.done();
            let record = records.close(number, clock.now(), done);
            let _ = tell.send(record.ok_or_else(forgotten));
            return;
        }
        None => {
            entry.begun();
            let _ = tell.send(records.find(number).ok_or_else(forgotten));
            work.await
        }
    };
    records.close(number, clock.now(), done);
}

/// Cannot be: what is under way is not forgotten, and what has just ended is the latest.
fn forgotten() -> Problem {
    let detail = "the record of this operation is gone; look at the component";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

impl Records {
    /// Writes `record` down under the next number, and forgets the oldest that has ended when there are too many.
    fn open(&self, mut record: Record) -> u64 {
        let mut book = self.book();
        book.last_number += 1;
        let number = book.last_number;
        record.number = number;
        book.records.push_back(record);
        if book.records.len() > KEPT
            && let Some(oldest) = book.records.iter().position(|it| it.ended.is_some())
        {
            book.records.remove(oldest);
        }
        number
    }

    fn close(&self, number: u64, at: Time, done: Result<Done, Miss>) -> Option<Record> {
        let done = done.map_err(|miss| match miss {
            Miss::Refused(problem) => problem.detail().to_owned(),
            Miss::Failed(error) => error,
        });
        let mut book = self.book();
        let record = book.records.iter_mut().find(|it| it.number == number)?;
        record.ended = Some(Ended { at, done });
        Some(record.clone())
    }

    fn find(&self, number: u64) -> Option<Record> {
        let book = self.book();
        book.records.iter().find(|it| it.number == number).cloned()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use lifecycle_core::engine::Operation;
    use lifecycle_core::{Criticality, Registration, component};
    use lifecycle_runtime::{Orchestrator, OrchestratorBuilder, Order};

    use super::*;

    /// How long a test waits for what must come.
    const DEADLINE: Duration = Duration::from_secs(20);

    fn builder() -> OrchestratorBuilder {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let worker = Registration::new("worker", idle).criticality(Criticality::Degradable);
        let mut builder = Orchestrator::builder();
        builder.register(worker);
        builder
    }

    fn plea(work: Work) -> Plea {
        Plea {
            operation: "restart",
            component: Some("worker".to_owned()),
            intent: Intent::default(),
            deadline: None,
            work,
            alarm: None,
            entry: Entry {
                who: "alice".to_owned(),
                peer: None,
                what: "restart".into(),
                component: None,
                reason: None,
            },
        }
    }

    fn restart(handle: &Handle) -> Plea {
        let handle = handle.clone();
        plea(Box::pin(async move {
            let order = Order::new(Operation::Restart, "worker");
            let done = handle.operate(order).await;
            done.map(|_| Done::Worked)
                .map_err(|it| Miss::Failed(it.to_string()))
        }))
    }

    /// Carries on until `is` holds of the records.
    async fn carry_on_until(ledger: &Ledger, is: impl Fn(&[Record]) -> bool) {
        let holds = async {
            while !is(&ledger.all()) {
                tokio::task::yield_now().await;
            }
        };
        let carried = async {
            tokio::select! {
                () = ledger.carry_on() => {}
                () = holds => {}
            }
        };
        let carried = tokio::time::timeout(DEADLINE, carried).await;
        carried.expect("within the deadline");
    }

    #[tokio::test]
    async fn who_stops_waiting_for_it_to_begin_cancels_nothing() {
        let builder = builder();
        let handle = builder.handle();
        let ledger = Ledger::new(handle.clone());
        {
            let mut begin = Box::pin(ledger.begin(restart(&handle)));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(begin.as_mut().poll(&mut cx).is_pending());
        }
        assert!(ledger.all().is_empty(), "nobody has answered yet");
        let handle = builder.build().expect("a plan").spawn();
        handle.start().await.expect("it starts");
        carry_on_until(&ledger, |it| {
            it.first().is_some_and(|it| it.ended.is_some())
        })
        .await;
    }

    #[tokio::test]
    async fn what_one_has_begun_another_carries_on() {
        let handle = builder().build().expect("a plan").spawn();
        handle.start().await.expect("it starts");
        let ledger = Ledger::new(handle.clone());
        let go = Arc::new(Notify::new());
        let gone = Arc::clone(&go);
        let work = Box::pin(async move {
            gone.notified().await;
            Ok(Done::Worked)
        });
        let record = ledger.begin(plea(work)).await.expect("it begins");
        assert!(record.ended.is_none());
        for _ in 0..3 {
            let brief = tokio::time::timeout(Duration::from_millis(1), ledger.carry_on());
            brief.await.expect_err("it goes on for ever");
        }
        go.notify_one();
        carry_on_until(&ledger, |it| it[0].ended.is_some()).await;
        let number = record.number;
        assert!(ledger.find(number).is_some_and(|it| it.ended.is_some()));
    }

    #[tokio::test]
    async fn beyond_a_hundred_under_way_a_further_one_is_refused() {
        let handle = builder().build().expect("a plan").spawn();
        let ledger = Ledger::new(handle.clone());
        for _ in 0..KEPT {
            let never = plea(Box::pin(std::future::pending()));
            ledger.begin(never).await.expect("there is room");
        }
        let refused = ledger
            .begin(plea(Box::pin(async { Ok(Done::Worked) })))
            .await;
        let refused = refused.expect_err("there is no room").status();
        assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(ledger.all().len(), KEPT);
    }

    #[tokio::test]
    async fn an_alarm_rings_when_its_moment_has_come_whoever_carries_on() {
        let handle = builder().build().expect("a plan").spawn();
        let ledger = Ledger::new(handle.clone());
        let alarm = Arc::new(Notify::new());
        let rung = Arc::clone(&alarm);
        let work = Box::pin(async move {
            rung.notified().await;
            Ok(Done::Worked)
        });
        let mut plea = plea(work);
        plea.alarm = Some((Instant::now() + Duration::from_millis(20), alarm));
        ledger.begin(plea).await.expect("it begins");
        carry_on_until(&ledger, |it| it[0].ended.is_some()).await;
    }
}
