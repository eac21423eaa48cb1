//! How the time of a start and of a stop was spent.

use lifecycle_core::engine::{Bar, Operation, Snapshot, Step, Timeline, Way};
use lifecycle_core::{Backoff, ComponentId, Nanos, Registration, Retry, Time};

use crate::rules_supervision::{optional, run_of};
use crate::support::{Run, ms, participant, registration};

/// A timeline that has followed `run` from before its start.
struct Followed {
    run: Run,
    timeline: Timeline,
    read: usize,
}

impl Followed {
    fn of(registrations: Vec<Registration>) -> Self {
        let run = run_of(registrations);
        let timeline = Timeline::of(&run.engine.snapshot(run.now));
        Self {
            run,
            timeline,
            read: 0,
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.run.engine.snapshot(self.run.now)
    }

    /// Reads what has happened.
    fn follow(&mut self) -> &Timeline {
        let news = &self.run.events[self.read..];
        news.iter().for_each(|it| self.timeline.take(it));
        self.read = self.run.events.len();
        &self.timeline
    }

    fn bar(&mut self, name: &str, way: Way) -> Bar {
        let (id, now) = (self.run.id(name), self.run.now);
        self.follow().bar(id, way, now).expect("it takes part")
    }

    /// Waiting, working and backing off, in milliseconds.
    fn split(&mut self, name: &str, way: Way) -> (u64, u64, u64) {
        let bar = self.bar(name, way);
        (
            millis(bar.waiting),
            millis(bar.working),
            millis(bar.backing_off),
        )
    }

    /// Each component of the critical path, with waiting, working and backing off.
    fn path(&mut self, way: Way) -> Vec<(String, u64, u64, u64)> {
        let now = self.run.now;
        let path = self.follow().critical_path(way, now);
        let name = |id: ComponentId| self.run.engine.plan().name(id).to_string();
        let step = |it: &Step| {
            let (waiting, working) = (millis(it.waiting), millis(it.working));
            (name(it.component), waiting, working, millis(it.backing_off))
        };
        path.iter().map(step).collect()
    }
}

fn millis(length: Nanos) -> u64 {
    u64::try_from(std::time::Duration::from(length).as_millis()).expect("not that long")
}

fn at(millis: u64) -> Time {
    Time::new(ms(millis))
}

fn sample() -> Vec<Registration> {
    let backoff = Backoff::Fixed(ms(500));
    vec![
        registration("db").start_retry(Retry::attempts(3).with_backoff(backoff)),
        registration("log"),
        registration("api").depends_on(["db", "log"]),
        registration("web").depends_on(["api"]),
    ]
}

/// `db` takes 100 ms, fails, backs off for 500 ms and takes 200 ms more; `log` 300 ms, `api` 50 ms, `web` 10 ms.
fn started() -> Followed {
    let mut it = Followed::of(sample());
    it.run.pass(1_000);
    it.run.start();
    it.run.pass(100);
    it.run.fails("start db");
    it.run.pass(200);
    it.run.ok("start log");
    it.run.pass(300);
    it.run.pass(200);
    it.run.ok("start db");
    it.run.pass(50);
    it.run.ok("start api");
    it.run.pass(10);
    it.run.ok("start web");
    it
}

#[test]
fn a_start_is_split_into_waiting_working_and_backing_off() {
    let mut it = started();
    assert_eq!(it.split("db", Way::Up), (0, 300, 500));
    assert_eq!(it.split("log", Way::Up), (0, 300, 0));
    assert_eq!(it.split("api", Way::Up), (800, 50, 0));
    assert_eq!(it.split("web", Way::Up), (850, 10, 0));
    let bar = it.bar("db", Way::Up);
    assert_eq!(
        (bar.began, bar.ended, bar.attempts),
        (at(1_000), Some(at(1_800)), 2)
    );
    let span = it.timeline.span(Way::Up).expect("it has begun");
    assert_eq!((span.began, span.ended), (at(1_000), Some(at(1_860))));
    assert_eq!(it.timeline.span(Way::Down), None);
    assert!(!it.timeline.is_truncated());
    // What comes later is no part of the start.
    it.run.pass(5_000);
    assert_eq!(it.split("web", Way::Up), (850, 10, 0));
}

#[test]
fn the_critical_path_of_a_start_leads_from_its_begin_to_its_end_and_adds_up() {
    let mut it = started();
    let path = it.path(Way::Up);
    let named = |name: &str, waiting, working, backing_off| {
        (name.to_owned(), waiting, working, backing_off)
    };
    assert_eq!(
        path,
        [
            named("db", 0, 300, 500),
            named("api", 0, 50, 0),
            named("web", 0, 10, 0),
        ]
    );
    let sum: u64 = path.iter().map(|it| it.1 + it.2 + it.3).sum();
    assert_eq!(sum, 860);
}

#[test]
fn a_start_that_is_under_way_shows_what_is_at_work_for_longest() {
    let mut it = Followed::of(sample());
    it.run.start();
    it.run.pass(100);
    it.run.ok("start log");
    it.run.pass(200);
    assert_eq!(it.path(Way::Up), [("db".to_owned(), 0, 300, 0)]);
    assert_eq!(it.split("api", Way::Up), (300, 0, 0));
    assert_eq!(it.split("db", Way::Up), (0, 300, 0));
    assert_eq!(it.timeline.span(Way::Up).unwrap().ended, None);
}

#[test]
fn a_stop_is_split_too_with_drains_as_work_and_its_path_goes_the_other_way() {
    let mut it = Followed::of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
        participant("inbound").depends_on(["api"]),
    ]);
    it.run.up();
    it.run.pass(1_000);
    it.run.stop();
    it.run.pass(400);
    it.run.ok("drain inbound");
    it.run.pass(30);
    it.run.ok("stop inbound");
    it.run.pass(20);
    it.run.ok("stop api");
    it.run.pass(10);
    assert_eq!(it.split("db", Way::Down), (450, 10, 0), "not over yet");
    it.run.ok("stop db");
    assert_eq!(it.split("inbound", Way::Down), (0, 430, 0));
    assert_eq!(it.split("api", Way::Down), (430, 20, 0));
    let path = it.path(Way::Down);
    assert_eq!(
        path,
        [
            ("inbound".to_owned(), 0, 430, 0),
            ("api".to_owned(), 0, 20, 0),
            ("db".to_owned(), 0, 10, 0),
        ]
    );
    let span = it.timeline.span(Way::Down).expect("it has begun");
    assert_eq!((span.began, span.ended), (at(1_000), Some(at(1_460))));
}

#[test]
fn a_further_run_begins_anew_and_remembers_how_long_each_took() {
    let mut it = started();
    it.run.stop();
    it.run.pass(70);
    it.run.ok("stop web");
    for call in ["stop api", "stop db", "stop log"] {
        it.run.ok(call);
    }
    it.run.start();
    it.follow();
    assert_eq!(it.timeline.run(), 2);
    assert_eq!(it.timeline.span(Way::Down), None);
    assert_eq!(it.split("db", Way::Up), (0, 0, 0));
    let (db, web) = (it.run.id("db"), it.run.id("web"));
    assert_eq!(it.timeline.last_start(db), Some(ms(800)), "with its delay");
    assert_eq!(it.timeline.last_stop(web), Some(ms(70)));
    assert_eq!(it.timeline.last_stop(db), Some(ms(0)));
}

#[test]
fn how_long_a_restart_took_is_remembered_and_is_no_part_of_the_start() {
    let mut it = started();
    it.run.operate(Operation::Restart, "web");
    it.run.pass(33);
    it.run.ok("stop web");
    it.run.pass(44);
    it.run.ok("start web");
    let web = it.run.id("web");
    it.follow();
    assert_eq!(it.timeline.last_stop(web), Some(ms(33)));
    assert_eq!(it.timeline.last_start(web), Some(ms(44)));
    assert_eq!(it.split("web", Way::Up), (850, 10, 0));
}

#[test]
fn who_has_missed_events_is_told_so_and_has_the_right_sums() {
    let mut whole = started();
    let mut it = Followed::of(sample());
    it.run.pass(1_000);
    it.run.start();
    it.follow();
    it.run.pass(100);
    it.run.fails("start db");
    it.run.pass(200);
    it.run.ok("start log");
    it.run.pass(300);
    // All of that was missed.
    it.read = it.run.events.len();
    let snapshot = it.snapshot();
    it.timeline.catch_up(&snapshot);
    assert!(it.timeline.is_truncated());
    it.run.pass(200);
    it.run.ok("start db");
    it.run.pass(50);
    it.run.ok("start api");
    it.run.pass(10);
    it.run.ok("start web");
    for name in ["db", "log", "api", "web"] {
        assert_eq!(
            it.split(name, Way::Up),
            whole.split(name, Way::Up),
            "{name}"
        );
        let (had, has) = (whole.bar(name, Way::Up), it.bar(name, Way::Up));
        assert_eq!((had.ended, had.worked_from), (has.ended, has.worked_from));
    }
    assert_eq!(it.path(Way::Up), whole.path(Way::Up));
}

#[test]
fn what_was_missed_and_is_in_the_history_was_not_missed() {
    let mut whole = started();
    let snapshot = whole.snapshot();
    let events = whole.run.events.clone();
    let mut same = |late: &Timeline| {
        assert!(!late.is_truncated());
        assert_eq!(late.span(Way::Up), whole.follow().span(Way::Up));
        for name in ["db", "log", "api", "web"] {
            let (id, now) = (whole.run.id(name), whole.run.now);
            let bar = whole.bar(name, Way::Up);
            assert_eq!(late.bar(id, Way::Up, now), Some(bar), "{name}");
        }
    };
    let mut late = Timeline::new(&snapshot.plan);
    late.replay(&snapshot, &events);
    same(&late);
    // Back to the last one that is known is enough.
    let mut late = Timeline::new(&snapshot.plan);
    events[..3].iter().for_each(|it| late.take(it));
    late.replay(&snapshot, &events[3..]);
    same(&late);
    let mut late = Timeline::new(&snapshot.plan);
    late.replay(&snapshot, &events[5..]);
    assert!(late.is_truncated(), "neither is there");
}

#[test]
fn a_snapshot_in_a_stop_does_not_count_the_start_of_what_still_runs() {
    let mut it = started();
    it.run.stop();
    it.run.pass(25);
    it.follow();
    let snapshot = it.snapshot();
    it.timeline.catch_up(&snapshot);
    let web = it.bar("web", Way::Down);
    assert_eq!((web.worked_from, web.attempts), (Some(web.began), 1));
    let api = it.bar("api", Way::Down);
    assert_eq!((api.worked_from, api.attempts), (None, 0));
}

#[test]
fn whoever_comes_when_the_start_is_over_knows_nothing_of_it() {
    let it = started();
    let mut late = Timeline::of(&it.snapshot());
    assert!(late.is_truncated());
    assert_eq!(late.span(Way::Up), None);
    assert_eq!(late.bar(it.run.id("db"), Way::Up, it.run.now), None);
    let mut run = it.run;
    let before = run.events.len();
    run.stop();
    run.pass(25);
    run.ok("stop web");
    run.events[before..].iter().for_each(|it| late.take(it));
    let bar = late.bar(run.id("web"), Way::Down, run.now).unwrap();
    assert_eq!((bar.working, bar.waiting), (ms(25), ms(0)));
}

#[test]
fn what_was_added_is_followed_after_catching_up() {
    let mut it = started();
    it.run.add(optional("late"));
    it.follow();
    let snapshot = it.snapshot();
    it.timeline.catch_up(&snapshot);
    it.run.pass(15);
    it.run.ok("start late");
    it.follow();
    let late = it.run.id("late");
    assert_eq!(it.timeline.last_start(late), Some(ms(15)));
    assert_eq!(it.timeline.bar(late, Way::Up, it.run.now), None);
    assert!(!it.timeline.is_truncated(), "nothing was missed");
}
