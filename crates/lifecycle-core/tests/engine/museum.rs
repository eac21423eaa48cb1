//! Failures that other systems shipped, each with the test that would have caught it; numbered as in the museum.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Run, State, ms, no_restarts, registration};
use lifecycle_core::engine::{
    Call, Command, Engine, EventKind, Input, OrchestratorState, RequestId, StartError, StopMode,
};
use lifecycle_core::{Backoff, Criticality, Failure, FailureKind, Plan, Registration, Retry, Time};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, no_restarts())
}

fn chain() -> Run {
    Run::of(&[("db", &[]), ("cache", &["db"]), ("api", &["cache"])])
}

fn up() -> Run {
    let mut run = chain();
    run.up();
    run
}

#[test]
fn museum_01_a_start_that_times_out_has_what_was_started_stopped() {
    let mut run = chain();
    run.start();
    run.ok("start db");
    run.ok("start cache");
    assert_eq!(run.pass(30_000), "cancel start api");
    assert_eq!(run.fails("start api"), "dispose api, stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn museum_02_a_rollback_has_a_budget_of_its_own_after_the_token_is_cancelled() {
    let mut run = chain();
    run.start();
    run.ok("start db");
    run.pass(29_000);
    run.cancel_start();
    assert_eq!(run.fails("start cache"), "dispose cache, stop db");
    assert_eq!(run.time_of("stop db"), ms(10_000));
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

/// Starts and stops a chain, with the stop after `before` answers; how often each call was made.
fn calls_when_stopped_after(before: usize, mode: StopMode, answers: &str) -> Vec<(String, usize)> {
    let mut run = chain();
    let mut said = vec![run.start()];
    for _ in 0..before {
        if let Some(call) = run.open("start").first().cloned() {
            said.push(run.ok(&call));
        }
    }
    said.push(run.stop_by(mode, None));
    while let Some(call) = [run.open("start"), run.open("stop")]
        .concat()
        .first()
        .cloned()
    {
        let starts = call.starts_with("start");
        said.push(if starts && answers == "fail" {
            run.fails(&call)
        } else {
            run.ok(&call)
        });
    }
    let words = said.join(", ");
    let count = |call: String| {
        let times = words.split(", ").filter(|it| *it == call).count();
        (call, times)
    };
    ["start", "stop", "dispose"]
        .iter()
        .flat_map(|verb| ["db", "cache", "api"].map(|it| format!("{verb} {it}")))
        .map(count)
        .collect()
}

#[test]
fn museum_03_a_stop_at_any_point_of_a_start_leaves_nothing_out() {
    for before in 0..=3 {
        for mode in [StopMode::Graceful, StopMode::Now, StopMode::Force] {
            for answers in ["fail", "succeed late"] {
                let calls = calls_when_stopped_after(before, mode, answers);
                let of = |call: String| calls.iter().find(|it| it.0 == call).map_or(0, |it| it.1);
                for name in ["db", "cache", "api"] {
                    let started = of(format!("start {name}"));
                    assert_eq!(of(format!("dispose {name}")), started, "{calls:?}");
                    let stopped = of(format!("stop {name}"));
                    assert!(stopped <= started, "{calls:?}");
                    let failed = usize::from(answers == "fail" && before < 3);
                    let in_all: usize = ["db", "cache", "api"]
                        .iter()
                        .map(|it| of(format!("stop {it}")))
                        .sum();
                    assert_eq!(in_all, (before + 1).min(3) - failed, "{calls:?}");
                }
            }
        }
    }
}

#[test]
fn museum_04_a_stop_before_a_start_succeeds_and_is_not_remembered() {
    let mut run = chain();
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.start(), "start db");
}

#[test]
fn museum_05_no_start_call_begins_once_a_stop_is_accepted() {
    let retry = Retry::attempts(5).with_backoff(Backoff::Fixed(ms(10)));
    let mut run = run_of(vec![
        registration("flaky").start_retry(retry),
        registration("slow"),
        registration("later").depends_on(["slow"]),
    ]);
    run.start();
    run.fails("start flaky");
    run.stop();
    assert_eq!(run.ok("start slow"), "stop slow");
    assert_eq!(run.pass(1_000), "");
    assert_eq!(run.ok("stop slow"), "dispose slow, start failed, stopped");
    assert_eq!(run.history("later"), "waiting stopped");
}

#[test]
fn museum_06_what_never_started_is_never_stopped() {
    let mut run = chain();
    run.start();
    run.stop();
    assert_eq!(run.fails("start db"), "dispose db, start failed, stopped");
    assert_eq!(run.report().stopped, 0);
}

#[test]
fn museum_07_every_way_to_end_releases_who_waits() {
    let waiting = || run_of(vec![degradable("db"), registration("api").wants(["db"])]);
    let endings: [fn(&mut Run) -> String; 4] = [
        |run| run.ok("start db"),
        |run| run.fails("start db"),
        |run| run.fails_with("start db", Failure::panic("overflow")),
        |run| run.pass(31_000),
    ];
    for end in endings {
        let mut run = waiting();
        run.start();
        assert!(end(&mut run).ends_with("start api"));
    }
}

#[test]
fn museum_08_the_order_holds_through_components_that_do_nothing() {
    let mut run = run_of(vec![
        registration("db"),
        degradable("empty").depends_on(["db"]),
        registration("api").after(["empty"]),
    ]);
    run.start();
    run.ok("start db");
    run.fails("start empty");
    run.ok("start api");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
}

#[test]
fn museum_09_a_stop_that_fails_counts_and_a_dependent_over_several_paths_counts_once() {
    let mut run = Run::of(&[
        ("db", &[]),
        ("a", &["db"]),
        ("b", &["db", "a"]),
        ("c", &["a", "b", "db"]),
    ]);
    run.up();
    assert_eq!(run.stop(), "stop c");
    assert_eq!(run.fails("stop c"), "stop b");
    assert_eq!(
        run.fails_with("stop b", Failure::panic("overflow")),
        "stop a"
    );
    assert_eq!(run.ok("stop a"), "dispose a, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stop failed");
}

#[test]
fn museum_10_a_failing_stop_of_any_component_leaves_the_others_to_be_stopped() {
    for bad in ["db", "cache", "api"] {
        let mut run = up();
        run.stop();
        for name in ["api", "cache", "db"] {
            let call = format!("stop {name}");
            drop(if name == bad {
                run.fails(&call)
            } else {
                run.ok(&call)
            });
        }
        assert_eq!(run.report().stopped, 2, "without {bad}");
        assert_eq!(run.report().incomplete[0].as_str(), bad);
    }
}

#[test]
fn museum_11_after_a_cancellation_at_any_point_it_can_start_again() {
    for before in 0..3 {
        let mut run = chain();
        run.start();
        for call in ["start db", "start cache", "start api"].iter().take(before) {
            run.ok(call);
        }
        run.cancel_start();
        while let Some(call) = [run.open("start"), run.open("stop")]
            .concat()
            .first()
            .cloned()
        {
            drop(if call.starts_with("start") {
                run.fails(&call)
            } else {
                run.ok(&call)
            });
        }
        assert_eq!(
            run.orchestrator(),
            OrchestratorState::Stopped,
            "after {before}"
        );
        run.up();
    }
}

#[test]
fn museum_12_a_slow_component_takes_nothing_from_an_independent_one() {
    let mut run = Run::of(&[("slow", &[]), ("db", &[]), ("api", &["db"])]);
    run.up();
    run.stop_within(2_000);
    run.pass(900);
    run.ok("stop api");
    assert_eq!(run.time_of("stop db"), ms(1_100));
}

#[test]
fn museum_13_everything_is_served_while_one_start_hangs() {
    let mut run = run_of(vec![
        registration("hung"),
        registration("db"),
        registration("api").depends_on(["db"]),
    ]);
    run.start();
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "");
    assert_eq!(run.state("hung"), State::Starting);
    assert_eq!(run.start(), "start failed", "an answer, at once");
    assert_eq!(run.stop(), "cancel start hung, stop api");
}

#[test]
fn museum_15_an_answer_of_an_old_generation_leaves_the_new_one_alone() {
    let mut run = Run::of(&[("db", &[])]);
    run.up();
    run.stop();
    let old = run.key("stop db").expect("called");
    run.ok("stop db");
    run.up();
    for call in [Call::Start, Call::Stop, Call::Dispose] {
        assert_eq!(run.answer(call, old, Ok(())), "");
    }
    assert_eq!(run.input(Input::ScopeClosed { key: old }), "");
    let outcome = Err(Arc::new(Failure::lost()));
    assert_eq!(run.input(Input::TaskEnded { key: old, outcome }), "");
    assert_eq!(run.state("db"), State::Running);
}

#[test]
fn museum_16_stopping_and_starting_by_hand_is_never_counted_as_a_failure() {
    let mut run = run_of(vec![registration("db").start_retry(Retry::attempts(2))]);
    for _ in 0..5 {
        run.up();
        run.stop();
        assert_eq!(run.ok("stop db"), "dispose db, stopped");
    }
    run.start();
    assert_eq!(
        run.fails("start db"),
        "start db",
        "the second of two attempts"
    );
}

#[test]
fn museum_17_a_start_during_a_stop_is_refused_with_a_type_and_possible_after_it() {
    let mut run = up();
    run.stop();
    run.start();
    let error = run.started.clone().expect("answered").expect_err("refused");
    let state = OrchestratorState::Stopping;
    assert_eq!(*error, StartError::FailedPrecondition { state });
    run.ok("stop api");
    run.ok("stop cache");
    run.ok("stop db");
    assert_eq!(run.start(), "start db");
}

#[test]
fn museum_18_a_cycle_is_refused_and_never_broken_by_dropping_work() {
    let circle = vec![
        registration("a").after(["b"]),
        registration("b").wants(["c"]),
        registration("c").depends_on(["a"]),
    ];
    let error = Plan::compile(circle, no_restarts()).expect_err("cyclic");
    assert_eq!(
        error.to_string(),
        "the components cannot be orchestrated: these components wait for each other: a -> b -> c -> a; remove one of the edges"
    );
}

#[test]
fn museum_19_a_panic_is_a_failure_that_releases_who_waits_and_spares_the_others() {
    let mut run = run_of(vec![
        degradable("bad"),
        registration("db"),
        degradable("ui").depends_on(["bad"]),
    ]);
    run.start();
    run.ok("start db");
    assert_eq!(
        run.fails_with("start bad", Failure::panic("overflow")),
        "dispose bad, started"
    );
    assert_eq!(run.state("ui"), State::Faulted);
    assert_eq!(run.stop(), "stop db");
    let report = run.fails_with("stop db", Failure::panic("overflow"));
    assert_eq!(report, "stop failed");
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" failed: panicked: overflow"
    );
}

#[test]
fn museum_20_a_task_that_vanishes_without_an_answer_is_a_failure() {
    let mut run = run_of(vec![registration("db").start_retry(Retry::attempts(2))]);
    run.start();
    assert_eq!(run.vanishes("start db"), "start db");
    assert_eq!(run.vanishes("start db"), "dispose db, start failed");
}

/// Starts and stops `registrations`, everything answering at once; how many commands that took.
fn commands_of(registrations: Vec<Registration>) -> usize {
    let compiled = Plan::compile(registrations, no_restarts()).expect("legal");
    let mut engine = Engine::new(compiled.plan);
    let request = RequestId(1);
    engine.handle(Time::ZERO, Input::StartRequested { request });
    let started = answer_all(&mut engine);
    assert_eq!(engine.state(), OrchestratorState::Running);
    engine.handle(
        Time::ZERO,
        Input::StopRequested {
            request,
            mode: StopMode::Graceful,
            deadline: None,
        },
    );
    let stopped = answer_all(&mut engine);
    assert_eq!(engine.state(), OrchestratorState::Stopped);
    started + stopped
}

fn answer_all(engine: &mut Engine) -> usize {
    let mut commands = 0;
    while let Some(command) = engine.poll_command() {
        commands += 1;
        while engine.poll_event().is_some() {}
        let answer = match command {
            Command::Call { call, key, .. } => Input::CallEnded {
                call,
                key,
                outcome: Ok(()),
            },
            Command::CloseScope { key } => Input::ScopeClosed { key },
            _ => continue,
        };
        engine.handle(Time::ZERO, answer);
    }
    commands
}

/// What the component of a number depends on.
type Shape = fn(usize) -> Vec<usize>;

/// 100 000 components, each depending on what `below` says.
fn many(below: impl Fn(usize) -> Vec<usize>) -> Vec<Registration> {
    let name = |index| format!("c{index}");
    (0..100_000)
        .map(|index| registration(&name(index)).depends_on(below(index).into_iter().map(name)))
        .collect()
}

#[test]
fn museum_31_a_hundred_thousand_components_take_four_commands_each_and_linear_time() {
    let shapes: [(&str, Shape); 4] = [
        ("chain", |index| index.checked_sub(1).into_iter().collect()),
        ("flat", |_| Vec::new()),
        (
            "star",
            |index| if index == 0 { Vec::new() } else { vec![0] },
        ),
        ("diamonds", |index| match index % 4 {
            0 => index.checked_sub(1).into_iter().collect(),
            3 => vec![index - 1, index - 2],
            _ => vec![index - index % 4],
        }),
    ];
    for (shape, below) in shapes {
        #[expect(clippy::disallowed_methods, reason = "the bound is on real time")]
        let began = std::time::Instant::now();
        // Start, stop, close and dispose of each, and two answers.
        assert_eq!(commands_of(many(below)), 400_002, "{shape}");
        // Quadratic would be hours.
        assert!(began.elapsed() < Duration::from_secs(20), "{shape}");
    }
}

#[test]
fn museum_33_force_never_waits_behind_the_graceful_stop() {
    let mut run = up();
    run.stop_within(3_600_000);
    run.pass(9_000);
    assert_eq!(run.force(), "cancel stop api");
    run.lingers("api");
    run.lingers("cache");
    run.lingers("db");
    let began = run.now;
    while run.stopped.is_empty() {
        run.pass(1);
    }
    assert!(run.now - began <= ms(1_020));
    assert_eq!(run.stopped.len(), 2);
}

#[test]
fn museum_34_the_order_is_the_same_in_every_mode() {
    let orders = [
        |run: &mut Run| run.stop(),
        |run: &mut Run| run.stop_by(StopMode::Now, None),
        |run: &mut Run| run.force(),
        |run: &mut Run| run.stop_within(50),
    ]
    .map(|stop| {
        let mut run = up();
        stop(&mut run);
        let mut order = Vec::new();
        while let Some(call) = run.open("stop").first().cloned() {
            assert_eq!(run.open("stop").len(), 1);
            run.ok(&call);
            order.push(call);
        }
        order.join(", ")
    });
    assert!(
        orders
            .iter()
            .all(|it| it == "stop api, stop cache, stop db"),
        "{orders:?}"
    );
}

#[test]
fn museum_35_failures_in_any_order_during_a_stop_advance_nothing_but_their_own() {
    let names = ["a", "b", "c"];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut run = Run::of(&[
            ("a", &[]),
            ("b", &[]),
            ("c", &[]),
            ("on-a", &["a"]),
            ("on-b", &["b"]),
            ("on-c", &["c"]),
        ]);
        run.up();
        run.stop();
        for index in order {
            let name = names[index];
            assert_eq!(
                run.fails(&format!("stop on-{name}")),
                format!("stop {name}")
            );
        }
    }
}

#[test]
fn museum_36_a_concurrent_rollback_respects_every_edge() {
    let mut run = Run::of(&[
        ("wire", &[]),
        ("out", &["wire"]),
        ("other", &["wire"]),
        ("bad", &[]),
    ]);
    run.start();
    run.ok("start wire");
    run.ok("start out");
    run.ok("start other");
    assert_eq!(run.fails("start bad"), "dispose bad, stop other, stop out");
    assert_eq!(run.fails("stop out"), "");
    assert_eq!(run.ok("stop other"), "dispose other, stop wire");
}

#[test]
fn museum_37_an_error_that_speaks_of_cancellation_is_an_error_like_any_other() {
    let mut run = run_of(vec![registration("db").start_retry(Retry::attempts(2))]);
    run.start();
    let cancelled = || Failure::new(FailureKind::Cancelled, "the context was cancelled");
    assert_eq!(run.fails_with("start db", cancelled()), "start db");
    assert_eq!(
        run.fails_with("start db", cancelled()),
        "dispose db, start failed"
    );
    let error = run.started.clone().expect("answered").expect_err("failed");
    assert!(matches!(*error, StartError::Failed { .. }), "{error:?}");
}

#[test]
fn museum_38_order_and_concurrency_need_no_option() {
    let mut run = Run::of(&[("db", &[]), ("cache", &[]), ("api", &["db", "cache"])]);
    assert_eq!(run.start(), "start db, start cache");
    run.ok("start db");
    run.ok("start cache");
    run.ok("start api");
    run.stop();
    assert_eq!(run.ok("stop api"), "dispose api, stop cache, stop db");
    let aborted = run
        .events
        .iter()
        .any(|it| matches!(it.kind, EventKind::Aborted { .. }));
    assert!(!aborted);
}
