//! What one reader is told: a snapshot or where they left off, then each change, and what was missed.
//!
//! It costs the driver nothing: a feed reads a bounded buffer that overflows, and rests before it asks for a further snapshot.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use diagnostics::Names;
use lifecycle_core::engine::{Event, Snapshot};
use lifecycle_runtime::{Handle, Notice, Subscription};
use tonic::Status;

use crate::grpc::v1::watch_response::Told;
use crate::grpc::v1::{Gap, Position, WatchResponse};
use crate::grpc::{stopping, wording};

/// How long a feed that has missed events rests before it begins anew.
const REST: Duration = Duration::from_millis(500);

/// How long the driver may take to give a snapshot.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(5);

/// Another number in every process: the time of its making.
pub(super) fn instance() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX))
}

pub(super) struct Feed {
    handle: Handle,
    instance: u64,
    events: Subscription,
    names: Names,
    /// The number of the last event that the reader knows of.
    last: u64,
    /// What is ready to be told.
    ready: VecDeque<Told>,
}

impl Feed {
    /// Begins behind `after`, or with a snapshot.
    pub(super) async fn begin(
        handle: Handle,
        instance: u64,
        after: Option<Position>,
    ) -> Result<Self, Status> {
        let mut feed = Self {
            // Before the history is read, so that nothing falls between the two.
            events: handle.subscribe(),
            names: Names::new(handle.clone()),
            handle,
            instance,
            last: 0,
            ready: VecDeque::new(),
        };
        match after {
            None => feed.show_all(None).await?,
            Some(after) if after.instance == instance => feed.resume(after.sequence).await?,
            Some(_) => feed.show_all(Some(of_strangers("another-process"))).await?,
        }
        Ok(feed)
    }

    /// The next thing to be told. Dropped while it waits, it loses nothing but a snapshot that was not told.
    pub(super) async fn next(&mut self) -> Result<WatchResponse, Status> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(WatchResponse { told: Some(told) });
            }
            // Nothing comes any more when nobody drives the orchestrator.
            match self.events.next().await.ok_or_else(stopping)? {
                Notice::Event(event) if event.sequence <= self.last => {}
                Notice::Event(event) => self.push_change(&event),
                Notice::Missed(_) => {
                    // A burst would make it miss the next ones too.
                    tokio::time::sleep(REST).await;
                    let gap = after(self.last, self.last, "too-slow");
                    self.show_all(Some(gap)).await?;
                }
            }
        }
    }

    /// Goes on after the event `last`, if all that came after it is still kept.
    async fn resume(&mut self, last: u64) -> Result<(), Status> {
        let history = self.handle.history();
        let newest = history.last().map_or(0, |it| it.sequence);
        let oldest = history.first().map_or(0, |it| it.sequence);
        if last > newest {
            return self.show_all(Some(of_strangers("unknown-event"))).await;
        }
        if last + 1 < oldest {
            let gap = after(last, oldest - 1, "no-longer-kept");
            return self.show_all(Some(gap)).await;
        }
        self.last = last;
        for event in history.iter().filter(|it| it.sequence > last) {
            self.push_change(event);
        }
        Ok(())
    }

    /// Says what is missing, if anything is, and how everything stands.
    async fn show_all(&mut self, gap: Option<Gap>) -> Result<(), Status> {
        let snapshot = self.snapshot().await?;
        if let Some(mut gap) = gap {
            // What the snapshot contains is not told again.
            gap.to = gap.from.map(|_| snapshot.sequence);
            self.ready.push_back(Told::Gap(gap));
        }
        self.last = snapshot.sequence;
        self.names.renew();
        let position = self.position(snapshot.sequence);
        let parts = wording::snapshot(&snapshot, self.handle.clock(), position);
        self.ready.extend(parts.map(Told::Snapshot));
        Ok(())
    }

    async fn snapshot(&self) -> Result<Snapshot, Status> {
        let snapshot = tokio::time::timeout(SNAPSHOT_LIMIT, self.handle.snapshot()).await;
        let snapshot = snapshot.map_err(|_| Status::unavailable("the orchestrator is too busy"))?;
        snapshot.map_err(|_| stopping())
    }

    fn push_change(&mut self, event: &Event) {
        self.last = event.sequence;
        let position = self.position(event.sequence);
        let change = wording::change(event, self.handle.clock(), &mut self.names, position);
        self.ready.push_back(Told::Change(change));
    }

    fn position(&self, sequence: u64) -> Position {
        Position {
            instance: self.instance,
            sequence,
        }
    }
}

/// What came after `last`, up to `to`.
fn after(last: u64, to: u64, reason: &str) -> Gap {
    Gap {
        from: Some(last + 1),
        to: Some(to),
        reason: reason.to_owned(),
    }
}

/// Of events that nobody here can count.
fn of_strangers(reason: &str) -> Gap {
    Gap {
        from: None,
        to: None,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use lifecycle_core::{Registration, component};
    use lifecycle_runtime::{Orchestrator, OrchestratorBuilder};

    use super::*;

    const INSTANCE: u64 = 0xbeef;

    async fn pool(configure: impl FnOnce(&mut OrchestratorBuilder)) -> Handle {
        let mut builder = Orchestrator::builder();
        configure(&mut builder);
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        builder.register(Registration::new("pool", idle));
        let handle = builder.build().unwrap().spawn();
        handle.start().await.unwrap();
        handle
    }

    async fn open(handle: &Handle, after: Option<(u64, u64)>) -> Feed {
        let after = after.map(|(instance, sequence)| Position { instance, sequence });
        Feed::begin(handle.clone(), INSTANCE, after)
            .await
            .expect("it is driven")
    }

    /// The next thing in short.
    async fn told(feed: &mut Feed) -> String {
        let of = |it: Option<Position>| it.expect("a position").sequence;
        match feed
            .next()
            .await
            .expect("it is driven")
            .told
            .expect("something")
        {
            Told::Snapshot(it) => format!("snapshot {}", of(it.position)),
            Told::Change(it) => format!("change {}", of(it.position)),
            Told::Gap(it) => format!("gap {:?}..{:?} {}", it.from, it.to, it.reason),
        }
    }

    async fn newest(handle: &Handle) -> u64 {
        handle.snapshot().await.unwrap().sequence
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_too_slow_is_told_what_it_missed_and_sees_everything_anew() {
        let handle = pool(|it| {
            it.event_capacity(2);
        })
        .await;
        let mut feed = open(&handle, None).await;
        let seen = newest(&handle).await;
        assert_eq!(told(&mut feed).await, format!("snapshot {seen}"));
        handle.restart("pool").await.unwrap();
        let now = newest(&handle).await;
        let gap = format!("gap Some({})..Some({now}) too-slow", seen + 1);
        assert_eq!(told(&mut feed).await, gap);
        assert_eq!(told(&mut feed).await, format!("snapshot {now}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_comes_back_is_told_all_that_came_in_between_as_long_as_it_is_kept() {
        let handle = pool(|it| {
            it.history(8);
        })
        .await;
        let seen = newest(&handle).await;
        handle.restart("pool").await.unwrap();
        let newest = newest(&handle).await;
        let oldest = handle.history()[0].sequence;
        assert!(oldest <= seen + 1, "it fits");
        let mut feed = open(&handle, Some((INSTANCE, seen))).await;
        for sequence in seen + 1..=newest {
            assert_eq!(told(&mut feed).await, format!("change {sequence}"));
        }

        let too_old = oldest - 2;
        let mut feed = open(&handle, Some((INSTANCE, too_old))).await;
        let gap = format!("gap Some({})..Some({newest}) no-longer-kept", too_old + 1);
        assert_eq!(told(&mut feed).await, gap);
        assert_eq!(told(&mut feed).await, format!("snapshot {newest}"));

        let strangers = [
            ((0xf00d, newest), "another-process"),
            ((INSTANCE, newest + 1), "unknown-event"),
        ];
        for (position, reason) in strangers {
            let mut feed = open(&handle, Some(position)).await;
            assert_eq!(told(&mut feed).await, format!("gap None..None {reason}"));
            assert_eq!(told(&mut feed).await, format!("snapshot {newest}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_of_many_components_comes_in_parts_that_a_client_takes() {
        let idle = || component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let handle = pool(|it| {
            let many = (0..2_500).map(|index| Registration::new(format!("c{index:04}"), idle()));
            it.registrations(many);
        })
        .await;
        let mut feed = open(&handle, None).await;
        let mut names = Vec::new();
        loop {
            let Some(Told::Snapshot(part)) = feed.next().await.unwrap().told else {
                panic!("a snapshot comes first");
            };
            names.extend(part.components.into_iter().map(|it| it.name));
            if !part.continues {
                break;
            }
        }
        assert_eq!(names.len(), 2_501);
        assert!(names.contains(&"pool".to_owned()) && names.contains(&"c2499".to_owned()));
    }
}
