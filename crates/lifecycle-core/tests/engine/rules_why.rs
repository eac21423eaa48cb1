//! What is said of each state, who is behind it, and who suffers from it.

use lifecycle_core::engine::{Operation, Why};
use lifecycle_core::{
    Backoff, Criticality, Defaults, Dependency, Failure, Gate, HealthCheck, Nanos, Registration,
    Report, Restart, Retry,
};

use crate::rules_supervision::{after, optional, run_of, up};
use crate::support::{Run, ms, participant, registration};

fn sentence(run: &Run, name: &str) -> String {
    let snapshot = run.engine.snapshot(run.now);
    Why::of(&snapshot).sentence(run.id(name))
}

fn root(run: &Run, name: &str) -> Option<String> {
    let snapshot = run.engine.snapshot(run.now);
    let root = Why::of(&snapshot).root(run.id(name));
    root.map(|it| snapshot.name(it).to_string())
}

fn chain(run: &Run, name: &str) -> String {
    let snapshot = run.engine.snapshot(run.now);
    let chain = Why::of(&snapshot).chain(run.id(name));
    let names = chain.iter().map(|it| snapshot.name(*it).as_str());
    names.collect::<Vec<_>>().join(" < ")
}

fn victims(run: &Run, name: &str) -> String {
    let snapshot = run.engine.snapshot(run.now);
    let victims = Why::of(&snapshot).victims(run.id(name));
    let names = victims.iter().map(|it| snapshot.name(*it).as_str());
    names.collect::<Vec<_>>().join(" ")
}

fn stubborn(name: &str) -> Registration {
    let backoff = Backoff::Fixed(ms(1_200));
    optional(name).start_retry(Retry::attempts(5).with_backoff(backoff))
}

fn refused() -> Failure {
    Failure::error("connection refused")
}

#[test]
fn who_waits_for_a_component_that_backs_off_is_told_when_it_is_tried_again() {
    let mut run = run_of(vec![
        stubborn("pool"),
        optional("billing").depends_on(["pool"]),
        optional("shop").depends_on(["billing"]),
        optional("clock"),
    ]);
    run.start();
    run.reports("pool", Report::Progress("dialling".into()));
    assert_eq!(
        sentence(&run, "billing"),
        "billing waits for pool, which is starting (attempt 1 of 5, for 0 ms, at \"dialling\")"
    );
    run.fails_with("start pool", refused());
    run.pass(1_200);
    run.fails_with("start pool", refused());
    assert_eq!(
        sentence(&run, "billing"),
        "billing waits for pool, which backs off before attempt 3 of 5 (connection refused), next in 1.2 s"
    );
    run.pass(850);
    assert_eq!(
        sentence(&run, "pool"),
        "pool backs off before attempt 3 of 5 (connection refused), next in 350 ms"
    );
    assert_eq!(chain(&run, "shop"), "shop < billing < pool");
    assert_eq!(root(&run, "shop").as_deref(), Some("pool"));
    assert_eq!(root(&run, "pool").as_deref(), Some("pool"));
    assert_eq!(victims(&run, "pool"), "billing shop");
    assert_eq!(victims(&run, "billing"), "shop");
    assert_eq!(victims(&run, "clock"), "");
    run.pass(350);
    assert_eq!(
        sentence(&run, "pool"),
        "pool is starting (attempt 3 of 5, for 0 ms, at \"dialling\", after connection refused)"
    );
}

#[test]
fn what_was_never_asked_to_start_and_what_runs_has_nobody_behind_it() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(sentence(&run, "db"), "db was never started");
    assert_eq!(root(&run, "db"), None);
    run.start();
    run.ok("start db");
    run.pass(3 * 3_600_000);
    assert_eq!(sentence(&run, "db"), "db runs, for 3 h");
    assert_eq!(root(&run, "db"), None);
    run.stop();
    assert_eq!(sentence(&run, "db"), "db is stopping (for 0 ms)");
    run.ok("stop db");
    assert_eq!(
        sentence(&run, "db"),
        "db is stopped, with the whole orchestrator"
    );
    assert_eq!(root(&run, "db"), None);
}

#[test]
fn of_several_that_are_waited_for_the_one_with_the_worst_root_is_named_first() {
    let mut run = run_of(vec![
        optional("log"),
        optional("dead").restart(Restart::never()),
        optional("mid").wants(["dead"]).depends_on(["log"]),
        stubborn("pool"),
        optional("mail").depends_on(["pool"]),
        optional("api").depends_on(["log", "mail"]),
    ]);
    run.start();
    run.fails_with("start pool", refused());
    assert_eq!(
        sentence(&run, "api"),
        "api waits for mail, which waits for pool, which backs off before attempt 2 of 5 (connection refused), next in 1.2 s; it waits for log too"
    );
    assert_eq!(
        sentence(&run, "mid"),
        "mid waits for log, which is starting (for 0 ms); it waits for dead too"
    );
    run.fails("start dead");
    assert_eq!(
        sentence(&run, "mid"),
        "mid waits for log, which is starting (for 0 ms)",
        "what has failed for good is wanted no longer"
    );
}

#[test]
fn a_long_chain_names_its_beginning_and_its_root() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let registrations = names.iter().enumerate().map(|(place, name)| {
        let below = names.get(place + 1);
        optional(name).depends_on(below.copied())
    });
    let mut run = run_of(registrations.collect());
    run.start();
    assert_eq!(
        sentence(&run, "a"),
        "a waits for b, which waits for c, which waits for d, which waits for e, and so on over 3 more to h, which is starting (for 0 ms)"
    );
    assert_eq!(chain(&run, "a"), "a < b < c < d < e < f < g < h");
    assert_eq!(victims(&run, "h").len(), 13);
}

#[test]
fn what_stands_behind_a_gate_says_so_and_who_needs_it_finds_it() {
    let short = ms(1);
    let gated = optional("issuer")
        .stop_retry(Retry::none().with_attempt_timeout(short))
        .dispose_timeout(short)
        .abort_grace(short)
        .gated_by(Gate::new("leader", Nanos::from_secs(1)));
    let api = optional("api")
        .depends_on(["issuer"])
        .stop_retry(Retry::none().with_attempt_timeout(short))
        .dispose_timeout(short)
        .abort_grace(short);
    let mut run = run_of(vec![gated, api]);
    run.start();
    let gate = "waits behind its gate leader, which is closed";
    assert_eq!(sentence(&run, "issuer"), format!("issuer {gate}"));
    assert_eq!(
        sentence(&run, "api"),
        format!("api waits for issuer, which {gate}")
    );
    assert_eq!(root(&run, "api").as_deref(), Some("issuer"));
    run.open_gate("leader", None);
    assert_eq!(sentence(&run, "issuer"), "issuer is starting (for 0 ms)");
}

#[test]
fn what_goes_on_without_another_names_it() {
    let mut run = up(vec![
        optional("members"),
        optional("listener").tolerates(["members"]),
    ]);
    run.loses("members");
    assert_eq!(
        sentence(&run, "listener"),
        "listener runs without members, which is stopping (for 0 ms, after the link is gone)"
    );
    assert_eq!(root(&run, "listener").as_deref(), Some("members"));
    assert_eq!(victims(&run, "members"), "listener");
    run.ok("stop members");
    assert_eq!(
        sentence(&run, "listener"),
        "listener runs without members, which backs off before restart 1 of 5 (the link is gone), next in 100 ms"
    );
}

#[test]
fn what_says_that_it_is_not_well_is_at_the_root_itself() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1);
    let mut run = up(vec![optional("pool").health_check(check)]);
    run.reports("pool", Report::Degraded(Some("two of three".into())));
    assert_eq!(sentence(&run, "pool"), "pool runs degraded (two of three)");
    assert_eq!(root(&run, "pool").as_deref(), Some("pool"));
    run.pass(1_000);
    run.check_ends("pool", Err(Failure::error("no route").into()));
    assert_eq!(sentence(&run, "pool"), "pool is unhealthy (no route)");
    run.pass(1_000);
    run.check_ends("pool", Ok(()));
    run.reports("pool", Report::Degraded(None));
    assert_eq!(root(&run, "pool"), None);
}

#[test]
fn a_loss_takes_followers_down_and_each_names_the_lost_one() {
    let mut run = up(vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("web").depends_on(["api"]),
    ]);
    run.loses("db");
    assert_eq!(
        sentence(&run, "db"),
        "db was lost, and waits to be stopped (the link is gone)"
    );
    assert_eq!(
        sentence(&run, "web"),
        "web is stopping (for 0 ms) with db, which was lost, and waits to be stopped (the link is gone)"
    );
    assert_eq!(chain(&run, "api"), "api < web < db");
    run.ok("stop web");
    assert_eq!(
        sentence(&run, "web"),
        "web waits for api, which is stopping (for 0 ms) with db, which was lost, and waits to be stopped (the link is gone)"
    );
    assert_eq!(victims(&run, "db"), "api web");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(
        sentence(&run, "web"),
        "web waits for api, which waits for db, which backs off before restart 1 of 5 (the link is gone), next in 100 ms"
    );
}

#[test]
fn what_has_failed_for_good_says_why_and_its_dependents_failed_with_it() {
    let mut run = run_of(vec![
        optional("db")
            .start_retry(Retry::attempts(2).with_backoff(Backoff::None))
            .restart(Restart::never()),
        optional("api").depends_on(["db"]),
        optional("web").depends_on(["api"]),
    ]);
    run.start();
    run.fails_with("start db", refused());
    run.fails_with("start db", refused());
    let failed = "has failed for good, after 2 attempts (connection refused)";
    assert_eq!(sentence(&run, "db"), format!("db {failed}"));
    assert_eq!(
        sentence(&run, "web"),
        format!("web failed for good with api, which failed for good with db, which {failed}")
    );
    assert_eq!(victims(&run, "db"), "api web");

    let mut run = up(vec![
        optional("db").restart(after(0).with_budget(1, ms(60_000))),
    ]);
    run.loses("db");
    run.ok("stop db");
    run.ok("start db");
    run.loses("db");
    run.ok("stop db");
    assert_eq!(
        sentence(&run, "db"),
        "db has failed for good, after 1 restarts within 60 s (the link is gone)"
    );
}

#[test]
fn what_an_operator_holds_and_what_fell_with_it_say_so() {
    let mut run = up(vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("job").dependencies([Dependency::hard("db").stops()]),
    ]);
    run.operate(Operation::Stop, "db");
    assert_eq!(
        sentence(&run, "db"),
        "db waits to be stopped by an operator after api, which is stopping (for 0 ms) with db"
    );
    assert_eq!(root(&run, "api").as_deref(), Some("db"));
    assert_eq!(root(&run, "db").as_deref(), Some("db"));
    run.ok("stop api");
    run.ok("stop job");
    assert_eq!(
        sentence(&run, "db"),
        "db is stopping for an operator (for 0 ms)"
    );
    run.ok("stop db");
    let held = "was stopped by an operator, and is held";
    assert_eq!(sentence(&run, "db"), format!("db {held}"));
    assert_eq!(
        sentence(&run, "api"),
        format!("api waits for db, which {held}")
    );
    assert_eq!(
        sentence(&run, "job"),
        format!("job went down for good with db, which {held}")
    );
    assert_eq!(victims(&run, "db"), "api job");
    run.operate(Operation::Start, "db");
    run.ok("start db");
    run.ok("start api");
    run.operate(Operation::Restart, "api");
    assert_eq!(
        sentence(&run, "api"),
        "api is stopping to be restarted by an operator (for 0 ms)"
    );
}

#[test]
fn a_component_that_shall_stop_names_the_dependent_that_is_not_down() {
    let mut run = up(vec![
        registration("db"),
        registration("api")
            .depends_on(["db"])
            .stop_retry(Retry::attempts(3).with_backoff(Backoff::Fixed(ms(500)))),
    ]);
    run.stop();
    run.pass(2_000);
    assert_eq!(
        sentence(&run, "db"),
        "db waits to be stopped after api, which is stopping (attempt 1 of 3, for 2.0 s)"
    );
    assert_eq!(victims(&run, "api"), "db");
    run.fails("stop api");
    assert_eq!(
        sentence(&run, "db"),
        "db waits to be stopped after api, which backs off before stop attempt 2 of 3 (no luck), next in 500 ms"
    );
    run.pass(500);
    assert_eq!(
        sentence(&run, "api"),
        "api is stopping (attempt 2 of 3, for 0 ms, after no luck)"
    );
}

#[test]
fn what_a_stop_could_not_end_is_told() {
    let mut run = up(vec![registration("db")]);
    run.stop();
    run.fails("stop db");
    assert_eq!(sentence(&run, "db"), "db has failed (no luck)");
    assert_eq!(root(&run, "db").as_deref(), Some("db"));
}

#[test]
fn a_drain_is_waited_for_by_everything_that_shall_stop() {
    let mut run = up(vec![
        registration("db"),
        participant("inbound").depends_on(["db"]),
    ]);
    run.drain();
    run.reports("inbound", Report::InFlight(3));
    assert_eq!(
        sentence(&run, "inbound"),
        "inbound is draining (3 in flight)"
    );
    assert_eq!(root(&run, "db"), None, "the node drains, and goes on");
    run.stop();
    assert_eq!(
        sentence(&run, "db"),
        "db waits to be stopped until the drain of inbound, which is draining (3 in flight)"
    );

    let mut run = up(vec![
        participant("outbound"),
        participant("inbound").depends_on(["outbound"]),
    ]);
    run.stop();
    run.ok("drain inbound");
    assert_eq!(
        sentence(&run, "outbound"),
        "outbound is draining",
        "who waits for it is no part of why"
    );

    let mut run = up(vec![participant("inbound")]);
    run.drain();
    run.fails_with("drain inbound", Failure::error("a call hangs"));
    assert_eq!(
        sentence(&run, "inbound"),
        "inbound runs, and could not be drained (a call hangs)"
    );
    run.drain();
    run.ok("drain inbound");
    assert_eq!(sentence(&run, "inbound"), "inbound runs, and is drained");
}

#[test]
fn while_the_host_settles_everything_waits_for_that() {
    let defaults = Defaults {
        settle: ms(1_000),
        ..Defaults::default()
    };
    let mut run = Run::with(vec![registration("db")], defaults);
    run.up();
    run.stop();
    assert_eq!(
        sentence(&run, "db"),
        "db waits to be stopped until the host has settled"
    );
}

#[test]
fn after_a_rollback_everything_names_the_component_that_failed() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
        registration("web").depends_on(["api"]),
        optional("log"),
    ]);
    run.start();
    run.ok("start db");
    run.ok("start log");
    run.fails_with("start api", refused());
    assert_eq!(
        sentence(&run, "db"),
        "db is stopping (for 0 ms) with api, which has failed for good (connection refused)"
    );
    run.ok("stop db");
    run.ok("stop log");
    for name in ["db", "log"] {
        assert_eq!(
            sentence(&run, name),
            format!(
                "{name} was stopped because of api, which has failed for good (connection refused)"
            )
        );
    }
    assert_eq!(root(&run, "web").as_deref(), Some("api"));
    assert_eq!(victims(&run, "api"), "db log web");
}

#[test]
fn a_start_that_is_cut_short_says_with_whom() {
    let mut run = run_of(vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("essential").criticality(Criticality::Optional),
    ]);
    run.start();
    run.ok("start db");
    run.loses("db");
    assert_eq!(
        sentence(&run, "api"),
        "api gives up its start with db, which was lost, and waits to be stopped (the link is gone)"
    );
    assert_eq!(root(&run, "api").as_deref(), Some("db"));
}

#[test]
fn a_completed_component_says_so_and_who_needed_it_failed_with_it() {
    let mut run = up(vec![optional("job"), optional("api").depends_on(["job"])]);
    run.task_ends("job", Ok(()));
    run.ok("stop api");
    run.ok("stop job");
    assert_eq!(sentence(&run, "job"), "job has completed");
    assert_eq!(
        sentence(&run, "api"),
        "api failed for good with job, which has completed"
    );
}
