//! What is refused when it is built: everything at fault in one report, in words that say what to do; nothing is built.

use std::sync::Arc;

use crate::support::{ms, registration};
use lifecycle_core::{
    Backoff, BoxError, Defaults, Dependency, Gate, GraphFault, HealthCheck, Lifecycle, Nanos, Plan,
    Registration, Restart, Retry, StartContext, StopContext,
};

/// What the build says; for one fault without the words around it.
#[track_caller]
fn refused(registrations: Vec<Registration>) -> String {
    refused_with(registrations, Defaults::default())
}

#[track_caller]
fn refused_with(registrations: Vec<Registration>, defaults: Defaults) -> String {
    let error = Plan::compile(registrations, defaults).expect_err("it is at fault");
    match &error.faults[..] {
        [only] => only.to_string(),
        _ => error.to_string(),
    }
}

#[test]
fn everything_at_fault_is_in_one_report() {
    let report = refused_with(
        vec![
            registration("  "),
            registration("db").depends_on(["cach"]),
            registration("DB"),
            registration("cache").depends_on(["queue"]),
            registration("queue").wants(["cache"]),
            registration("api").depends_on(["API", "nowhere"]),
            registration("worker")
                .depends_on(["db"])
                .wants(["db"])
                .start_retry(Retry::attempts(0)),
        ],
        Defaults {
            force_timeout: Nanos::ZERO,
            ..Defaults::default()
        },
    );
    assert_eq!(
        report,
        r#"the components cannot be orchestrated, 9 faults:
  - registration 1: a component's name is blank; give it at least one printable character
  - registration 3: the name "DB" is taken by "db" (case does not count); rename one of them
  - "db" depends on "cach", which is not registered; did you mean "cache"?
  - "api" depends on itself; remove that dependency
  - "api" depends on "nowhere", which is not registered; register it or remove the dependency
  - "worker" declares two different edges to "db" (hard and soft); keep one of them
  - these components wait for each other: cache -> queue -> cache; remove one of the edges
  - defaults, force-timeout: force-timeout is 0; use a positive duration, or "never" where it is allowed
  - "worker", start: max-attempts is 0; it counts the first attempt, so use 1 for no retry"#
    );
}

#[test]
fn a_blank_name_is_told_by_the_position_of_its_registration() {
    assert_eq!(
        refused(vec![registration("db"), registration("\t ")]),
        "registration 2: a component's name is blank; give it at least one printable character"
    );
}

#[test]
fn an_overlong_name_is_told_by_its_beginning_and_length() {
    assert_eq!(
        refused(vec![registration(&"n".repeat(4_000))]),
        "registration 1: the name starting \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\" has 4000 bytes; shorten it to 128 or fewer"
    );
}

#[test]
fn a_name_with_a_control_character_is_shown_escaped() {
    assert_eq!(
        refused(vec![registration("a\nb")]),
        r#"registration 1: the name "a\nb" holds the control character '\n'; remove it"#
    );
}

#[test]
fn names_that_differ_in_case_alone_are_equal_however_many_there_are() {
    assert_eq!(
        refused(vec![
            registration("Cache"),
            registration("CACHE"),
            registration("db").alias("cache"),
        ]),
        r#"the components cannot be orchestrated, 2 faults:
  - registration 2: the name "CACHE" is taken by "Cache" (case does not count); rename one of them
  - registration 3: the name "cache" is taken by "Cache" (case does not count); rename one of them"#
    );
}

#[test]
fn an_unknown_dependency_comes_with_the_nearest_name_if_one_is_near() {
    assert_eq!(
        refused(vec![
            registration("database"),
            registration("api").depends_on(["databse", "queue"]),
        ]),
        r#"the components cannot be orchestrated, 2 faults:
  - "api" depends on "databse", which is not registered; did you mean "database"?
  - "api" depends on "queue", which is not registered; register it or remove the dependency"#
    );
}

#[test]
fn a_component_that_depends_on_itself_by_any_of_its_names_is_refused() {
    assert_eq!(
        refused(vec![registration("api").alias("front").after(["Front"])]),
        "\"api\" depends on itself; remove that dependency"
    );
}

#[test]
fn several_cycles_are_told_at_once_each_with_its_whole_path() {
    let report = refused(vec![
        registration("a").depends_on(["b"]),
        registration("b").wants(["a"]),
        registration("c").after(["d"]),
        registration("d").depends_on(["e"]),
        registration("e").depends_on(["c"]),
        registration("innocent").depends_on(["a"]),
    ]);
    assert_eq!(
        report,
        r"the components cannot be orchestrated, 2 faults:
  - these components wait for each other: a -> b -> a; remove one of the edges
  - these components wait for each other: c -> d -> e -> c; remove one of the edges"
    );
}

#[test]
fn a_name_at_fault_does_not_hide_a_cycle() {
    let report = refused(vec![
        registration(" "),
        registration("a").depends_on(["b"]),
        registration("b").depends_on(["a"]),
    ]);
    assert!(report.contains("a -> b -> a"), "{report}");
}

#[test]
fn a_tangle_of_cycles_is_told_in_part_and_at_once() {
    let names: Vec<String> = (0..60).map(|it| format!("c{it}")).collect();
    let all = |name: &String| {
        names
            .iter()
            .filter(|it| *it != name)
            .cloned()
            .collect::<Vec<_>>()
    };
    let tangle = names.iter().map(|it| registration(it).depends_on(all(it)));
    let error = Plan::compile(tangle.collect(), Defaults::default()).expect_err("cyclic");
    assert_eq!(error.faults.len(), 32);
}

#[test]
fn two_kinds_of_edges_to_one_dependency_contradict_each_other_and_equal_ones_do_not() {
    assert_eq!(
        refused(vec![
            registration("db"),
            registration("api")
                .dependencies([Dependency::hard("db"), Dependency::hard("DB").held()]),
        ]),
        "\"api\" declares two different edges to \"db\" (hard and held); keep one of them"
    );
    let equal = vec![
        registration("db"),
        registration("api").depends_on(["db", " DB ", "", "Db"]),
    ];
    let compiled = Plan::compile(equal, Defaults::default()).expect("legal");
    assert_eq!(compiled.plan.edge_count(), 1);
}

#[test]
fn policies_that_contradict_themselves_are_told_with_their_remedy() {
    let retry = Retry::none()
        .with_backoff(Backoff::Fixed(ms(10)))
        .with_attempt_timeout(ms(500))
        .with_total(ms(200));
    let growing = Retry::attempts(3).with_backoff(Backoff::Exponential {
        initial: ms(100),
        factor: f64::NAN,
        cap: ms(50),
    });
    let db = registration("db").start_retry(retry).stop_retry(growing);
    assert_eq!(
        refused(vec![db]),
        r#"the components cannot be orchestrated, 4 faults:
  - "db", start: a back-off is set although max-attempts is 1; raise max-attempts or drop the back-off
  - "db", start: total (200ms) is shorter than attempt-timeout (500ms); raise total or lower attempt-timeout
  - "db", stop: back-off factor is NaN; use a number of at least 1
  - "db", stop: back-off cap (50ms) is below its initial delay (100ms); raise the cap or lower the initial delay"#
    );
}

#[test]
fn durations_of_nothing_and_of_centuries_are_refused() {
    let db = registration("db")
        .start_retry(Retry::none().with_attempt_timeout(Nanos::ZERO))
        .stop_retry(Retry::none().with_total(Nanos::MAX))
        .dispose_timeout(Nanos::ZERO)
        .abort_grace(Nanos::from_secs(366 * 86_400));
    assert_eq!(
        refused(vec![db]),
        r#"the components cannot be orchestrated, 4 faults:
  - "db", start: attempt-timeout is 0; use a positive duration, or "never" where it is allowed
  - "db", stop: total is 18446744073709551615ns; the longest that is allowed is 365 days (31536000s)
  - "db", dispose-timeout: dispose-timeout is 0; use a positive duration, or "never" where it is allowed
  - "db", abort-grace: abort-grace is 31622400s; the longest that is allowed is 365 days (31536000s)"#
    );
}

#[test]
fn what_is_before_all_may_depend_on_nothing() {
    assert_eq!(
        refused(vec![
            registration("db"),
            registration("probes").depends_on(["db"]).before_all(),
        ]),
        r#"the components cannot be orchestrated, 2 faults:
  - everything is ordered after "probes", so it may depend on nothing; remove its dependencies
  - these components wait for each other: db -> probes -> db; remove one of the edges"#
    );
}

/// What is said to an addition to a plan of `present`.
#[track_caller]
fn addition_refused(present: Vec<Registration>, addition: Registration) -> String {
    let compiled = Plan::compile(present, Defaults::default()).expect("legal");
    let error = compiled.plan.extended(addition).expect_err("at fault");
    match &error.faults[..] {
        [only] => only.to_string(),
        _ => error.to_string(),
    }
}

#[test]
fn an_edge_that_never_takes_its_dependent_down_says_nothing_about_how() {
    assert_eq!(
        refused(vec![
            registration("db"),
            registration("cache"),
            registration("api").dependencies([
                Dependency::soft("db").tolerates(),
                Dependency::order("cache").stops(),
            ]),
        ]),
        r#"the components cannot be orchestrated, 2 faults:
  - "api" says "tolerates" of its soft dependency on "db", which never takes it down; make the dependency hard, or drop it
  - "api" says "stops" of its order dependency on "cache", which never takes it down; make the dependency hard, or drop it"#
    );
}

#[test]
fn two_reactions_to_one_loss_contradict_each_other() {
    let edges = [
        Dependency::hard("db").tolerates(),
        Dependency::hard("db").tolerates().held(),
    ];
    assert_eq!(
        refused(vec![
            registration("db"),
            registration("api").dependencies(edges),
            registration("ui").depends_on(["db"]).tolerates(["db"]),
        ]),
        r#"the components cannot be orchestrated, 2 faults:
  - "api" declares two different edges to "db" (hard, tolerates and hard, tolerates, held); keep one of them
  - "ui" declares two different edges to "db" (hard and hard, tolerates); keep one of them"#
    );
}

#[test]
fn restarts_health_checks_and_gates_at_fault_are_told_at_once_with_their_remedy() {
    let check = HealthCheck::every(Nanos::ZERO)
        .with_timeout(Nanos::ZERO)
        .with_misses(0);
    let db = registration("db")
        .restart(
            Restart::never()
                .with_backoff(Backoff::Fixed(ms(10)))
                .with_stable_period(Nanos::ZERO),
        )
        .health_check(check)
        .drain_timeout(Nanos::ZERO)
        .gated_by(Gate::new(" ", Nanos::ZERO));
    assert_eq!(
        refused(vec![db]),
        r#"the components cannot be orchestrated, 8 faults:
  - "db", restart: stable-period is 0; use a positive duration, or "never" where it is allowed
  - "db", restart: a back-off or a budget is set although when is "never"; drop it, or restart on failure
  - "db", health-check: every is 0; use a positive duration, or "never" where it is allowed
  - "db", health-check: timeout is 0; use a positive duration, or "never" where it is allowed
  - "db", health-check: misses is 0; use 1 for a component that is unhealthy at once
  - "db", drain-timeout: drain-timeout is 0; use a positive duration, or "never" where it is allowed
  - "db", gate margin: gate margin is 0; use a positive duration, or "never" where it is allowed
  - "db", gate: a component's name is blank; give it at least one printable character"#
    );
}

#[test]
fn defaults_at_fault_are_told_with_their_names() {
    let defaults = Defaults {
        restart: Restart::on_failure().with_budget(3, Nanos::ZERO),
        settle: Nanos::MAX,
        drain_timeout: Nanos::ZERO,
        ..Defaults::default()
    };
    assert_eq!(
        refused_with(vec![registration("db")], defaults),
        r#"the components cannot be orchestrated, 3 faults:
  - defaults, restart: window is 0; use a positive duration, or "never" where it is allowed
  - defaults, drain-timeout: drain-timeout is 0; use a positive duration, or "never" where it is allowed
  - defaults, settle: settle is 18446744073709551615ns; the longest that is allowed is 365 days (31536000s)"#
    );
}

#[test]
fn every_gate_whose_margin_is_too_short_is_told_with_its_path() {
    let gated = |name: &str| registration(name).gated_by(Gate::new("lease", ms(1_000)));
    assert_eq!(
        refused(vec![
            gated("leader"),
            gated("writer"),
            registration("worker").depends_on(["writer"]),
        ]),
        r#"the components cannot be orchestrated, 2 faults:
  - "leader" is gated by "lease" with a margin of 1s, but stopping leader may take 18s by what is declared; declare shorter stop attempts, disposes and abort graces, or raise the margin
  - "writer" is gated by "lease" with a margin of 1s, but stopping worker, then writer may take 36s by what is declared; declare shorter stop attempts, disposes and abort graces, or raise the margin"#
    );
}

#[test]
fn everything_at_fault_with_an_addition_is_in_one_report() {
    let present = vec![registration("database"), registration("cache")];
    let addition = registration("Cache")
        .alias("DATABASE")
        .depends_on(["databse", "cache"])
        .wants(["cache"])
        .before_all()
        .start_retry(Retry::attempts(0));
    assert_eq!(
        addition_refused(present, addition),
        r#"the components cannot be orchestrated, 6 faults:
  - "Cache", start: max-attempts is 0; it counts the first attempt, so use 1 for no retry
  - registration 3: the name "Cache" is taken by "cache" (case does not count); rename one of them
  - registration 3: the name "DATABASE" is taken by "database" (case does not count); rename one of them
  - "Cache" shall come before everything, but others are there already; register it before the orchestrator is built
  - "Cache" depends on "databse", which is not registered; did you mean "database"?
  - "Cache" declares two different edges to "cache" (hard and soft); keep one of them"#
    );
}

#[test]
fn an_addition_that_depends_on_itself_by_any_of_its_names_is_refused() {
    for name in ["api", "FRONT"] {
        assert_eq!(
            addition_refused(
                vec![registration("db")],
                registration("api").alias("front").depends_on([name]),
            ),
            "\"api\" depends on itself; remove that dependency"
        );
    }
}

#[test]
fn an_addition_without_a_valid_name_is_told_by_its_position() {
    assert_eq!(
        addition_refused(vec![registration("db")], registration("\t")),
        "registration 2: a component's name is blank; give it at least one printable character"
    );
}

struct Shared;

impl Lifecycle for Shared {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }
    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn one_instance_with_two_policies_is_refused() {
    let shared = Arc::new(Shared);
    assert_eq!(
        refused(vec![
            Registration::new("first", Arc::clone(&shared)),
            Registration::new("second", shared).start_retry(Retry::attempts(2)),
        ]),
        "\"second\" is the same instance as \"first\" but declares policies or criticality of its own; declare them once, on \"first\""
    );
}

/// `count` components, each depending on the one before.
fn chain(count: usize) -> Vec<Registration> {
    let name = |index: usize| format!("c{index}");
    (0..count)
        .map(|index| registration(&name(index)).depends_on(index.checked_sub(1).map(name)))
        .collect()
}

#[test]
fn a_chain_of_100_000_is_built_without_recursion() {
    let compiled = Plan::compile(chain(100_000), Defaults::default()).expect("legal");
    let last = compiled.plan.find("c99999").expect("registered");
    assert_eq!(compiled.plan.depth(last), 99_999);
}

#[test]
fn a_cycle_of_100_000_is_told_with_its_whole_path() {
    let mut registrations = chain(100_000);
    registrations[0] = registration("c0").depends_on(["c99999"]);
    let error = Plan::compile(registrations, Defaults::default()).expect_err("cyclic");
    let [GraphFault::Cycle { path }] = &error.faults[..] else {
        panic!("{} faults", error.faults.len());
    };
    assert_eq!(path.len(), 100_000);
}

#[test]
fn a_hundred_thousand_unknown_names_are_told_in_bounded_time() {
    let lost = (0..100_000).map(|it| registration(&format!("c{it}")).wants([format!("x{it}")]));
    let error = Plan::compile(lost.collect(), Defaults::default()).expect_err("unknown");
    assert_eq!(error.faults.len(), 100_000);
}
