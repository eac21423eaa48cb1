//! A rehearsal says what the engine then does.

use std::collections::BTreeSet;

use lifecycle_core::engine::{Operation, Rehearsal};
use lifecycle_core::{ComponentId, Criticality, Dependency, EdgeKind, Registration};
use proptest::prelude::*;

use crate::rules_supervision::{optional, run_of, up};
use crate::support::{Run, State, registration};

fn rehearsed(run: &Run, operation: Operation, name: &str, forced: bool) -> Rehearsal {
    let engine = run.engine.clone();
    engine.rehearse(run.now, run.id(name), operation, forced)
}

fn names(run: &Run, ids: impl Iterator<Item = ComponentId>) -> String {
    let names = ids.map(|it| run.engine.plan().name(it).to_string());
    names.collect::<Vec<_>>().join(" ")
}

/// What would be stopped and started, as `api db / db api`.
fn moves(run: &Run, operation: Operation, name: &str) -> String {
    let rehearsal = rehearsed(run, operation, name, true);
    assert_eq!(rehearsal.refusal, None);
    let stops = names(run, rehearsal.stops.iter().map(|it| it.component));
    let starts = names(run, rehearsal.starts.iter().map(|it| it.component));
    format!("{stops} / {starts}")
}

fn sample() -> Vec<Registration> {
    vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("web").depends_on(["api"]),
        optional("log").tolerates(["db"]),
        optional("job").dependencies([Dependency::hard("db").stops()]),
        optional("clock"),
    ]
}

#[test]
fn a_restart_takes_followers_down_and_brings_them_back_in_order() {
    let run = up(sample());
    assert_eq!(
        moves(&run, Operation::Restart, "db"),
        "web job api db / db api web"
    );
    assert_eq!(moves(&run, Operation::Restart, "web"), "web / web");
    let rehearsal = rehearsed(&run, Operation::Restart, "db", false);
    let causes = rehearsal.stops.iter().map(|it| it.cause);
    let db = run.id("db");
    let expected = [Some(db), Some(db), Some(db), None];
    assert_eq!(causes.collect::<Vec<_>>(), expected);
    assert_eq!(rehearsal.starts[0].cause, None);
    assert_eq!(rehearsal.starts[1].cause, Some(db));
    assert_eq!(run.state("db"), State::Running, "nothing was done");
}

#[test]
fn a_stop_starts_nothing_and_a_start_brings_back_what_had_fallen() {
    let mut run = up(sample());
    assert_eq!(moves(&run, Operation::Stop, "db"), "web job api db / ");
    run.operate(Operation::Stop, "db");
    for call in ["stop web", "stop job", "stop api", "stop db"] {
        run.ok(call);
    }
    assert_eq!(moves(&run, Operation::Start, "db"), " / db api web");
}

#[test]
fn a_refusal_says_why_and_moves_nothing() {
    let mut run = up(vec![
        optional("db"),
        registration("api")
            .depends_on(["db"])
            .criticality(Criticality::Essential),
    ]);
    let refused = |run: &Run, operation, name| {
        let rehearsal = rehearsed(run, operation, name, false);
        assert!(rehearsal.stops.is_empty() && rehearsal.starts.is_empty());
        rehearsal.refusal.expect("it is refused").to_string()
    };
    let essential = refused(&run, Operation::Stop, "db");
    assert!(essential.contains("\"api\" is essential"), "{essential}");
    run.operate_with(Operation::Stop, "db", true);
    run.ok("stop api");
    run.ok("stop db");
    let down = refused(&run, Operation::Start, "api");
    assert!(down.contains("start \"db\" first"), "{down}");
}

#[test]
fn a_start_in_flight_is_given_up_and_comes_back_and_others_in_flight_are_left_alone() {
    let mut run = run_of(vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("slow"),
        optional("behind").depends_on(["slow"]),
    ]);
    run.start();
    run.ok("start db");
    assert_eq!(moves(&run, Operation::Restart, "db"), "api db / db api");
    // What waits for something in flight is played with it.
    assert_eq!(moves(&run, Operation::Restart, "behind"), " / behind");
}

/// Up to ten components: of each the edge to each before it, as a number; and what is done before.
#[derive(Clone, Debug)]
struct Case {
    edges: Vec<Vec<u8>>,
    before: Vec<(u8, usize)>,
    operation: Operation,
    component: usize,
    /// Which of the open calls is answered next.
    answers: Vec<usize>,
}

fn case() -> impl Strategy<Value = Case> {
    let edges = (1..10_usize)
        .prop_flat_map(|count| {
            let rows: Vec<_> = (0..count)
                .map(|row| prop::collection::vec(0..9_u8, row))
                .collect();
            rows
        })
        .boxed();
    let operation = prop_oneof![
        Just(Operation::Restart),
        Just(Operation::Stop),
        Just(Operation::Start)
    ];
    let before = prop::collection::vec((0..4_u8, any::<usize>()), 0..4);
    let answers = prop::collection::vec(any::<usize>(), 64);
    (edges, before, operation, any::<usize>(), answers).prop_map(
        |(edges, before, operation, component, answers)| Case {
            edges,
            before,
            operation,
            component,
            answers,
        },
    )
}

fn name(place: usize) -> String {
    format!("c{place}")
}

fn registrations(case: &Case) -> Vec<Registration> {
    let row = |(place, edges): (usize, &Vec<u8>)| {
        let edges = edges.iter().enumerate().filter_map(|(on, kind)| {
            let on = name(on);
            match kind {
                0..4 => None,
                4 => Some(Dependency::hard(on)),
                5 => Some(Dependency::hard(on).tolerates()),
                6 => Some(Dependency::hard(on).stops()),
                7 => Some(Dependency::soft(on)),
                _ => Some(Dependency::order(on)),
            }
        });
        optional(&name(place)).dependencies(edges)
    };
    case.edges.iter().enumerate().map(row).collect()
}

/// Answers open calls in an order of their own until there are none; gives back which calls were made.
fn settle(
    run: &mut Run,
    mut said: String,
    answers: &mut impl Iterator<Item = usize>,
) -> Vec<String> {
    let mut calls = Vec::new();
    loop {
        calls.extend(
            said.split(", ")
                .filter(|it| it.starts_with("start ") || it.starts_with("stop "))
                .filter(|it| *it != "start failed" && *it != "stop failed")
                .map(str::to_owned),
        );
        let open = [run.open("start"), run.open("stop")].concat();
        if open.is_empty() {
            return calls;
        }
        let next = answers.next().unwrap_or(0) % open.len();
        said = run.ok(&open[next]);
    }
}

fn assert_ordered(run: &Run, stops: &[ComponentId], starts: &[ComponentId]) {
    let place = |ids: &[ComponentId], id| ids.iter().position(|it| *it == id);
    let plan = run.engine.plan();
    for id in plan.ids() {
        for edge in plan.dependencies(id) {
            let (dependent, on) = (place(stops, id), place(stops, edge.component));
            assert!(
                dependent.is_none() || on.is_none() || dependent < on,
                "{id:?} stops before {:?}",
                edge.component
            );
            let (dependent, on) = (place(starts, id), place(starts, edge.component));
            let hard = edge.kind == EdgeKind::Hard;
            assert!(
                !hard || dependent.is_none() || on.is_none() || dependent > on,
                "{id:?} starts after {:?}",
                edge.component
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) })]

    #[test]
    fn a_rehearsal_moves_what_the_operation_then_moves_in_an_order_that_edges_allow(case in case()) {
        let mut run = up(registrations(&case));
        let count = case.edges.len();
        let mut answers = case.answers.iter().copied();
        for (kind, place) in &case.before {
            let name = name(place % count);
            let said = match kind {
                0 => run.operate_with(Operation::Stop, &name, true),
                1 => run.operate(Operation::Start, &name),
                2 => run.operate(Operation::Restart, &name),
                _ if run.state(&name) == State::Running => run.loses(&name),
                _ => continue,
            };
            settle(&mut run, said, &mut answers);
        }
        let name = name(case.component % count);
        let rehearsal = rehearsed(&run, case.operation, &name, true);
        let said = run.operate_with(case.operation, &name, true);
        if let Some(refusal) = &rehearsal.refusal {
            // Others that wait for something may be told in the same step.
            prop_assert!(said.contains(&format!("refused: {refusal}")), "{said}");
        }
        let calls = settle(&mut run, said, &mut answers);

        let did = |kind: &str| -> BTreeSet<String> {
            let of_kind = calls.iter().filter_map(|it| it.strip_prefix(kind));
            of_kind.map(str::to_owned).collect()
        };
        let ids = |moves: &[lifecycle_core::engine::Move]| -> Vec<ComponentId> {
            moves.iter().map(|it| it.component).collect()
        };
        let named = |ids: &[ComponentId]| -> BTreeSet<String> {
            ids.iter().map(|it| run.engine.plan().name(*it).to_string()).collect()
        };
        let (stops, starts) = (ids(&rehearsal.stops), ids(&rehearsal.starts));
        prop_assert_eq!(named(&stops), did("stop "));
        prop_assert_eq!(named(&starts), did("start "));
        assert_ordered(&run, &stops, &starts);
    }
}
