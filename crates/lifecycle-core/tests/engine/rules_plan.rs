//! Rules 1 to 5: what is ordered before what, and in which order calls are issued.

use std::collections::HashSet;
use std::sync::Arc;

use crate::support::{Run, State, ms, no_restarts, registration};
use lifecycle_core::{
    BoxError, Criticality, Defaults, Dependency, EdgeKind, Lifecycle, Plan, Registration, Retry,
    StartContext, StopContext,
};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, no_restarts())
}

#[test]
fn rule_01_a_stop_waits_for_every_dependent_by_any_edge() {
    let mut run = run_of(vec![
        registration("db"),
        registration("hard").depends_on(["db"]),
        registration("soft").wants(["db"]),
        registration("order").after(["db"]),
    ]);
    run.up();
    assert_eq!(run.stop(), "stop order, stop soft, stop hard");
    assert_eq!(run.ok("stop soft"), "dispose soft");
    assert_eq!(run.ok("stop hard"), "dispose hard");
    assert_eq!(run.ok("stop order"), "dispose order, stop db");
}

#[test]
fn rule_01_a_stop_waits_through_components_that_never_ran() {
    let mut run = run_of(vec![
        registration("db"),
        degradable("cache").depends_on(["db"]),
        registration("api").wants(["cache"]),
    ]);
    run.start();
    run.ok("start db");
    run.fails("start cache");
    run.ok("start api");
    // Between api and db there is no edge but through the cache, which is not up.
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
}

#[test]
fn rule_01_a_component_that_was_never_called_keeps_the_order_too() {
    let mut run = run_of(vec![
        registration("db"),
        degradable("broken"),
        degradable("cache").depends_on(["db", "broken"]),
        registration("api").after(["cache"]),
    ]);
    run.start();
    run.fails("start broken");
    assert_eq!(run.state("cache"), State::Faulted);
    run.ok("start db");
    run.ok("start api");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_01_a_rollback_keeps_the_order() {
    let mut run = Run::of(&[
        ("db", &[]),
        ("cache", &["db"]),
        ("api", &["cache"]),
        ("bad", &[]),
    ]);
    run.start();
    run.ok("start db");
    run.ok("start cache");
    run.ok("start api");
    assert_eq!(run.fails("start bad"), "dispose bad, stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn rule_01_a_cancelled_start_keeps_the_order() {
    let mut run = Run::of(&[
        ("db", &[]),
        ("cache", &["db"]),
        ("api", &["cache"]),
        ("late", &["api"]),
    ]);
    run.start();
    run.ok("start db");
    run.ok("start cache");
    run.ok("start api");
    assert_eq!(run.cancel_start(), "cancel start late");
    assert_eq!(run.fails("start late"), "dispose late, stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn rule_01_a_forced_stop_keeps_the_order() {
    let mut run = Run::of(&[("db", &[]), ("cache", &["db"]), ("api", &["cache"])]);
    run.up();
    assert_eq!(run.force(), "stop api, cancel stop api");
    assert_eq!(
        run.ok("stop api"),
        "dispose api, stop cache, cancel stop cache"
    );
    assert_eq!(
        run.ok("stop cache"),
        "dispose cache, stop db, cancel stop db"
    );
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_02_a_component_is_down_when_its_tasks_are_joined_and_its_dispose_has_ended() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.lingers("api");
    run.disposes_slowly("api");
    run.up();
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "close api");
    assert_eq!(run.scope_ends("api"), "dispose api");
    assert_eq!(run.ok("dispose api"), "stop db");
}

#[test]
fn rule_02_a_dispose_that_timed_out_counts_as_down() {
    let api = registration("api")
        .depends_on(["db"])
        .dispose_timeout(ms(50));
    let mut run = run_of(vec![registration("db"), api]);
    run.disposes_slowly("api");
    run.up();
    run.stop();
    assert_eq!(run.ok("stop api"), "dispose api");
    assert_eq!(run.pass(49), "");
    assert_eq!(run.pass(1), "abort dispose api");
    assert_eq!(run.vanishes("dispose api"), "stop db");
}

#[test]
fn rule_02_the_next_generation_begins_only_after_the_last_one_is_down() {
    let mut run = Run::of(&[("db", &[])]);
    run.disposes_slowly("db");
    run.up();
    run.stop();
    run.ok("stop db");
    assert_eq!(run.start(), "start failed", "its dispose is still at work");
    assert_eq!(run.ok("dispose db"), "stopped");
    assert_eq!(run.start(), "start db");
    assert_eq!(run.key("start db").map(|it| it.generation), Some(2));
}

#[test]
fn rule_03_a_hard_dependent_never_starts_without_its_dependency() {
    let mut run = run_of(vec![degradable("db"), degradable("api").depends_on(["db"])]);
    assert_eq!(run.start(), "start db");
    assert_eq!(run.fails("start db"), "dispose db, started");
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(run.history("api"), "waiting faulted");
}

#[test]
fn rule_03_a_soft_dependent_starts_when_its_dependency_runs() {
    let mut run = run_of(vec![registration("db"), registration("api").wants(["db"])]);
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "start api");
}

#[test]
fn rule_03_a_soft_dependent_waits_while_the_first_start_sequence_goes_on() {
    let db = degradable("db").start_retry(Retry::attempts(2));
    let mut run = run_of(vec![db, registration("api").wants(["db"])]);
    run.start();
    assert_eq!(run.fails("start db"), "start db");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.fails("start db"), "dispose db, start api");
}

#[test]
fn rule_03_a_soft_dependency_that_was_never_called_releases_its_dependent() {
    let mut run = run_of(vec![
        degradable("db"),
        degradable("cache").depends_on(["db"]),
        registration("api").wants(["cache"]),
    ]);
    run.start();
    assert_eq!(run.fails("start db"), "dispose db, start api");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_03_an_edge_that_only_orders_starts_after_a_failure_and_takes_no_part_in_it() {
    let mut run = run_of(vec![degradable("db"), registration("api").after(["db"])]);
    run.start();
    assert_eq!(run.fails("start db"), "dispose db, start api");
    assert_eq!(run.ok("start api"), "started");
    let report = run.started.clone().expect("answered").expect("it runs");
    let degraded: Vec<_> = report
        .degraded
        .iter()
        .map(|it| it.component.as_str())
        .collect();
    assert_eq!(degraded, ["db"]);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_03_the_loss_of_a_soft_dependency_stops_nobody() {
    let mut run = run_of(vec![degradable("db"), registration("api").wants(["db"])]);
    run.up();
    let loss = Err(Arc::new(lifecycle_core::Failure::panic("loop")));
    assert_eq!(run.task_ends("db", loss), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.state("api"), State::Running);
}

#[test]
fn rule_03_depth_is_the_longest_path_over_edges_of_every_kind() {
    let run = run_of(vec![
        registration("last").after(["third"]).depends_on(["first"]),
        registration("third").wants(["second"]),
        registration("second").depends_on(["first"]),
        registration("first"),
    ]);
    let plan = run.engine.plan();
    let depths = ["first", "second", "third", "last"].map(|it| plan.depth(run.id(it)));
    assert_eq!(depths, [0, 1, 2, 3]);
    assert_eq!(run.order(), "first second third last");
}

#[test]
fn rule_03_what_is_before_all_starts_first_and_stops_last_without_a_declared_edge() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
        registration("probes").before_all(),
    ]);
    assert_eq!(run.start(), "start probes");
    assert_eq!(run.ok("start probes"), "start db");
    run.ok("start db");
    run.ok("start api");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stop probes");
}

#[test]
fn rule_04_calls_that_may_go_together_are_issued_by_depth_and_then_by_registration() {
    let mut run = Run::of(&[
        ("z", &[]),
        ("deep", &["z"]),
        ("a", &[]),
        ("deeper", &["deep", "a"]),
        ("m", &["z", "a"]),
    ]);
    assert_eq!(run.order(), "z a deep m deeper");
    assert_eq!(run.start(), "start z, start a");
    run.ok("start a");
    assert_eq!(run.ok("start z"), "start deep, start m");
    run.ok("start deep");
    run.ok("start m");
    run.ok("start deeper");
    assert_eq!(run.stop(), "stop deeper, stop m");
}

#[test]
fn rule_04_one_answer_that_releases_many_issues_them_in_plan_order() {
    let mut run = run_of(vec![
        registration("gate"),
        registration("c").depends_on(["gate"]),
        registration("b").wants(["gate"]),
        registration("a").after(["gate"]),
    ]);
    run.start();
    assert_eq!(run.ok("start gate"), "start c, start b, start a");
    for name in ["a", "b", "c"] {
        run.ok(&format!("start {name}"));
    }
    assert_eq!(run.stop(), "stop a, stop b, stop c");
}

#[test]
fn rule_04_retries_that_are_due_together_are_issued_in_plan_order() {
    let retry = Retry::attempts(2).with_backoff(lifecycle_core::Backoff::Fixed(ms(10)));
    let retrying = |name| registration(name).start_retry(retry.clone());
    let mut run = run_of(vec![retrying("a"), retrying("b")]);
    run.start();
    run.fails("start b");
    run.fails("start a");
    assert_eq!(run.pass(10), "start a, start b");
}

#[test]
fn rule_04_the_same_graph_gives_the_same_plan_whatever_the_order_of_its_edges() {
    let names: Vec<String> = (0..60).map(|it| format!("c{it:02}")).collect();
    let order = || {
        let registrations = names.iter().enumerate().map(|(index, name)| {
            // Every set of the standard library has an iteration order of its own.
            let dependencies: HashSet<&String> = names[..index]
                .iter()
                .enumerate()
                .filter(|(other, _)| (index * 7 + other * 3) % 11 == 0)
                .map(|(_, name)| name)
                .collect();
            registration(name).depends_on(dependencies.into_iter().cloned())
        });
        let mut run = run_of(registrations.collect());
        let mut issued = vec![run.order(), run.start()];
        while let Some(next) = run.open("start").first().cloned() {
            issued.push(run.ok(&next));
        }
        issued.push(run.stop());
        while let Some(next) = run.open("stop").first().cloned() {
            issued.push(run.ok(&next));
        }
        issued
    };
    let first = order();
    (0..8).for_each(|_| assert_eq!(order(), first));
}

#[derive(Debug)]
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
fn rule_05_one_instance_under_several_names_is_one_component_with_aliases() {
    let shared = Arc::new(Shared);
    let mut run = run_of(vec![
        registration("db"),
        Registration::new("primary", Arc::clone(&shared)),
        Registration::new("secondary", shared).depends_on(["db"]),
        registration("api").depends_on(["SECONDARY"]),
    ]);
    let plan = Arc::clone(run.engine.plan());
    assert_eq!(plan.len(), 3);
    assert_eq!(plan.find("secondary"), plan.find("primary"));
    // The edges of all its names are its edges; an edge to any of its names is one to it.
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "start primary");
    assert_eq!(run.ok("start primary"), "start api");
}

#[test]
fn rule_05_a_declared_alias_resolves_like_the_name() {
    let run = run_of(vec![
        registration("db").alias("store"),
        registration("api").dependencies([Dependency::soft(" Store ")]),
    ]);
    assert_eq!(run.order(), "db api");
    let plan = run.engine.plan();
    assert_eq!(plan.find("STORE"), plan.find("db"));
    let aliases: Vec<_> = plan.aliases(run.id("db")).map(|it| it.as_str()).collect();
    assert_eq!(aliases, ["store"]);
}

#[test]
fn rule_05_two_values_of_a_type_without_data_are_two_components() {
    let run = run_of(vec![
        Registration::new("a", Shared),
        Registration::new("b", Shared),
    ]);
    assert_eq!(run.engine.plan().len(), 2);
}

/// The plan as one line: each component with its depth and what it is ordered after.
fn shape(plan: &Plan) -> String {
    let rows = plan.order().iter().map(|id| {
        let below = plan.dependencies(*id).iter();
        let below: Vec<&str> = below.map(|it| plan.name(it.component).as_str()).collect();
        format!(
            "{}@{}({})",
            plan.name(*id),
            plan.depth(*id),
            below.join(" ")
        )
    });
    rows.collect::<Vec<_>>().join(" ")
}

fn plan_of(registrations: Vec<Registration>) -> Arc<Plan> {
    Plan::compile(registrations, Defaults::default())
        .expect("legal")
        .plan
}

fn extended(plan: &Plan, registration: Registration) -> Arc<Plan> {
    plan.extended(registration).expect("legal").plan
}

#[test]
fn rule_25_a_plan_that_grew_is_the_plan_of_all_its_registrations() {
    let registrations = || {
        vec![
            registration("probes").before_all(),
            registration("db").alias("store"),
            registration("cache").depends_on(["db"]),
            registration("api")
                .depends_on(["STORE", "cache"])
                .wants(["probes"]),
            registration("log"),
        ]
    };
    let at_once = plan_of(registrations());
    let rest = registrations().split_off(1).into_iter();
    let mut grown = plan_of(registrations().drain(..1).collect());
    for next in rest {
        grown = extended(&grown, next);
    }
    assert_eq!(shape(&grown), shape(&at_once));
    assert_eq!(grown.find("Store"), at_once.find("store"));
    assert_eq!(grown.edge_count(), at_once.edge_count());
    let names = |plan: &Plan| {
        let names = plan.by_name().iter().map(|id| plan.name(*id).to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&grown), names(&at_once));
    let tails = |plan: &Plan| plan.ids().map(|id| plan.tail(id)).collect::<Vec<_>>();
    assert_eq!(tails(&grown), tails(&at_once));
}

#[test]
fn rule_25_a_plan_that_shrank_keeps_the_others_with_their_ids_and_forgets_names_and_edges() {
    let plan = plan_of(vec![
        registration("db"),
        registration("cache").alias("store").depends_on(["db"]),
        registration("api").wants(["cache"]).depends_on(["db"]),
    ]);
    let ids = ["db", "cache", "api"].map(|it| plan.find(it).expect("there"));
    let [db, cache, api] = ids;
    let shrunk = plan.without(&[cache]);
    assert_eq!(shape(&shrunk), "db@0() api@1(db)");
    assert_eq!((shrunk.len(), shrunk.capacity()), (2, 3));
    assert_eq!(
        [shrunk.find("db"), shrunk.find("api")],
        [Some(db), Some(api)]
    );
    assert_eq!([shrunk.find("cache"), shrunk.find("store")], [None, None]);
    assert_eq!(
        (shrunk.contains(cache), shrunk.at(cache.index())),
        (false, None)
    );
    assert_eq!(
        shrunk.name(cache).as_str(),
        "cache",
        "for who speaks of it late"
    );
    assert_eq!(plan.find("cache"), Some(cache), "the old plan is as it was");
    let grown = extended(&shrunk, registration("queue").depends_on(["api"]));
    let queue = grown.find("queue").expect("there");
    assert_eq!(queue.index(), cache.index());
    assert_ne!(queue, cache);
    assert!(!grown.contains(cache));
    assert_eq!(grown.capacity(), 3);
}

#[test]
fn rule_25_among_equals_what_came_later_stays_later_whatever_place_it_took() {
    let plan = plan_of(["a", "b", "c"].map(registration).into());
    let plan = plan.without(&[plan.find("a").expect("there")]);
    let plan = extended(&plan, registration("d"));
    assert_eq!(shape(&plan), "b@0() c@0() d@0()");
}

#[test]
fn rule_25_a_first_one_that_was_removed_comes_before_nobody_any_more() {
    let plan = plan_of(vec![registration("probes").before_all()]);
    let plan = plan.without(&[plan.find("probes").expect("there")]);
    assert_eq!(shape(&extended(&plan, registration("db"))), "db@0()");
}

#[test]
fn rule_03_a_declared_edge_says_more_than_the_implicit_one() {
    let plan = plan_of(vec![registration("probes").before_all()]);
    let plan = extended(&plan, registration("api").depends_on(["probes"]));
    let api = plan.find("api").expect("there");
    let kinds: Vec<_> = plan.dependencies(api).iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [EdgeKind::Hard]);
}

#[test]
fn rule_18_weights_and_tails_follow_a_plan_that_changes() {
    let timed = |name: &str, stop: u64| {
        registration(name)
            .stop_retry(Retry::none().with_attempt_timeout(ms(stop)))
            .dispose_timeout(ms(100))
    };
    let plan = plan_of(vec![timed("db", 1_000), timed("api", 500).wants(["db"])]);
    let api = plan.find("api").expect("there");
    assert_eq!(plan.tail(api), ms(1_100));
    let grown = extended(&plan, timed("ui", 200).depends_on(["api"]));
    assert_eq!(grown.tail(grown.find("ui").expect("there")), ms(1_700));
    let shrunk = grown.without(&[grown.find("db").expect("there")]);
    assert_eq!(shrunk.tail(api), ms(0));
    assert_eq!(shrunk.worst_stop().stop, ms(900));
}
