//! The table of what the engine does: state × event × policy → result, made by doing it.

use std::fmt::Write as _;
use std::sync::Arc;

use lifecycle_core::engine::StopMode;
use lifecycle_core::{Backoff, Class, Criticality, Failure, Registration, Retry};

use crate::support::{Run, fresh, ms, no_restarts, registration};

const HEAD: &str = "\
# What the engine does

Generated from the engine by `cargo xtask semantics --write`, and checked by a test; do not edit it by hand.

One component `x` is brought into each situation, and then one thing happens. A cell says which state `x` is in
afterwards, and after the colon what the engine asked for, in that order: calls (`start x`), cancelled tokens (`cancel
start x`), dropped futures (`abort start x`), what is left behind (`abandon x`), and answers (`started`, `stop failed`).
`nothing` means that the event changes neither. `x` is essential unless the column says otherwise, so that its final
failure stops what else runs; nothing else does here. Rule numbers are those of the architecture page.
";

/// A policy, as a column.
struct Column {
    title: &'static str,
    registration: fn() -> Registration,
}

fn retry() -> Retry {
    Retry::attempts(2).with_backoff(Backoff::Fixed(ms(100)))
}

const COLUMNS: [Column; 4] = [
    Column {
        title: "one attempt",
        registration: || registration("x"),
    },
    Column {
        title: "two attempts",
        registration: || registration("x").start_retry(retry()).stop_retry(retry()),
    },
    Column {
        title: "two attempts, a fresh value each",
        registration: || fresh("x").start_retry(retry()).stop_retry(retry()),
    },
    Column {
        title: "one attempt, degradable",
        registration: || registration("x").criticality(Criticality::Degradable),
    },
];

/// A situation, as a section. `None` where a policy does not lead there.
struct Situation {
    title: &'static str,
    lead: fn(Registration) -> Option<Run>,
}

const SITUATIONS: [Situation; 17] = [
    Situation {
        title: "created",
        lead: |x| Some(alone(x)),
    },
    Situation {
        title: "waiting for a hard dependency",
        lead: |x| {
            let x = x.depends_on(["dependency"]);
            let dependency = registration("dependency").criticality(Criticality::Degradable);
            let mut run = Run::with(vec![dependency, x], no_restarts());
            run.start();
            Some(run)
        },
    },
    Situation {
        title: "starting",
        lead: |x| Some(starting(x)),
    },
    Situation {
        title: "starting, its token cancelled by the attempt timeout",
        lead: |x| Some(timed_out(x)),
    },
    Situation {
        title: "starting, its token cancelled by a stop",
        lead: |x| {
            let mut run = starting(x);
            run.stop();
            Some(run)
        },
    },
    Situation {
        title: "starting, aborted after the grace",
        lead: |x| {
            let mut run = timed_out(x);
            run.pass(500);
            Some(run)
        },
    },
    Situation {
        title: "stopping what a late success built",
        lead: |x| {
            let mut run = timed_out(x);
            run.ok("start x");
            Some(run)
        },
    },
    Situation {
        title: "starting, the tasks of a failed attempt still there",
        lead: |x| {
            let mut run = starting(x);
            run.lingers("x");
            run.fails("start x");
            Some(run)
        },
    },
    Situation {
        title: "backing off between start attempts",
        lead: |x| {
            let mut run = starting(x);
            run.fails("start x");
            (run.state("x").as_str() == "backing-off").then_some(run)
        },
    },
    Situation {
        title: "running",
        lead: |x| Some(running(x)),
    },
    Situation {
        title: "stopping",
        lead: |x| Some(stopping(x)),
    },
    Situation {
        title: "stopping, aborted at its attempt timeout",
        lead: |x| {
            let mut run = stopping(x);
            run.pass(10_000);
            Some(run)
        },
    },
    Situation {
        title: "stopping, stop returned and tasks still there",
        lead: |x| {
            let mut run = stopping(x);
            run.lingers("x");
            run.ok("stop x");
            Some(run)
        },
    },
    Situation {
        title: "stopping, disposing",
        lead: |x| {
            let mut run = stopping(x);
            run.disposes_slowly("x");
            run.ok("stop x");
            Some(run)
        },
    },
    Situation {
        title: "backing off between stop attempts",
        lead: |x| {
            let mut run = stopping(x);
            run.fails("stop x");
            (run.state("x").as_str() == "backing-off").then_some(run)
        },
    },
    Situation {
        title: "faulted, its stop has failed and its value is kept",
        lead: |x| {
            let mut run = stopping(x);
            run.fails("stop x");
            if run.state("x").as_str() == "backing-off" {
                run.pass(100);
                run.fails("stop x");
            }
            Some(run)
        },
    },
    Situation {
        title: "stopped",
        lead: |x| {
            let mut run = stopping(x);
            run.ok("stop x");
            Some(run)
        },
    },
];

fn alone(x: Registration) -> Run {
    Run::with(vec![x], no_restarts())
}

fn starting(x: Registration) -> Run {
    let mut run = alone(x);
    run.start();
    run
}

fn timed_out(x: Registration) -> Run {
    let mut run = starting(x);
    run.pass(30_000);
    run
}

fn running(x: Registration) -> Run {
    let mut run = starting(x);
    run.ok("start x");
    run
}

fn stopping(x: Registration) -> Run {
    let mut run = running(x);
    run.stop();
    run
}

/// An event, as a row. `None` where it cannot happen.
struct Event {
    title: &'static str,
    happen: fn(&mut Run) -> Option<String>,
}

const EVENTS: [Event; 14] = [
    Event {
        title: "a start is requested",
        happen: |run| Some(run.start()),
    },
    Event {
        title: "the start's token is cancelled",
        happen: |run| (run.orchestrator().as_str() == "starting").then(|| run.cancel_start()),
    },
    Event {
        title: "a stop is requested",
        happen: |run| Some(run.stop()),
    },
    Event {
        title: "a stop with 10 ms left is requested",
        happen: |run| Some(run.stop_within(10)),
    },
    Event {
        title: "a forced stop is requested",
        happen: |run| Some(run.stop_by(StopMode::Force, None)),
    },
    Event {
        title: "the dependency runs",
        happen: |run| {
            run.key("start dependency")
                .map(|_| run.ok("start dependency"))
        },
    },
    Event {
        title: "the dependency fails for good",
        happen: |run| {
            run.key("start dependency")
                .map(|_| run.fails("start dependency"))
        },
    },
    Event {
        title: "the call returns `Ok`",
        happen: |run| call(run).map(|it| run.ok(&it)),
    },
    Event {
        title: "the call returns an error",
        happen: |run| call(run).map(|it| run.fails(&it)),
    },
    Event {
        title: "the call returns a permanent error",
        happen: |run| {
            let failure = Failure::error("no luck").with_class(Class::Permanent);
            call(run).map(|it| run.fails_with(&it, failure))
        },
    },
    Event {
        title: "the call panics",
        happen: |run| call(run).map(|it| run.fails_with(&it, Failure::panic("out of luck"))),
    },
    Event {
        title: "the tasks of its scope have ended",
        happen: |run| run.is_closing("x").then(|| run.scope_ends("x")),
    },
    Event {
        title: "a task of it fails",
        happen: |run| {
            let alive = matches!(run.state("x").as_str(), "starting" | "running");
            alive.then(|| run.task_ends("x", Err(Arc::new(Failure::lost()))))
        },
    },
    Event {
        title: "its deadline comes",
        happen: |run| {
            let due = run.engine.poll_timeout()?;
            // Rounded up to the driver's milliseconds.
            Some(run.pass(due.since(run.now).as_millis() + 1))
        },
    },
];

/// The call of `x` that is awaited.
fn call(run: &Run) -> Option<String> {
    ["start x", "stop x", "dispose x"]
        .into_iter()
        .find(|it| run.key(it).is_some())
        .map(str::to_owned)
}

/// The whole table as Markdown.
pub(crate) fn render() -> String {
    let mut page = HEAD.to_owned();
    for situation in &SITUATIONS {
        render_situation(&mut page, situation);
    }
    page
}

fn render_situation(page: &mut String, situation: &Situation) {
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|it| (situation.lead)((it.registration)()).is_some())
        .collect();
    let titles: Vec<&str> = columns.iter().map(|it| it.title).collect();
    write_line(page, &format!("\n## {}\n", situation.title));
    write_line(page, &format!("| event | {} |", titles.join(" | ")));
    write_line(page, &format!("|---|{}", "---|".repeat(titles.len())));
    for event in &EVENTS {
        let cells: Vec<Option<String>> = columns
            .iter()
            .map(|it| cell(situation, it, event))
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells: Vec<String> = cells
            .into_iter()
            .map(|it| it.unwrap_or_else(|| "–".to_owned()))
            .collect();
        write_line(
            page,
            &format!("| {} | {} |", event.title, cells.join(" | ")),
        );
    }
}

fn cell(situation: &Situation, column: &Column, event: &Event) -> Option<String> {
    let mut run = (situation.lead)((column.registration)())?;
    let before = run.state("x");
    let said = (event.happen)(&mut run)?;
    let after = run.state("x");
    Some(match (before == after, said.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (_, true) => after.as_str().to_owned(),
        (_, false) => format!("{}: {said}", after.as_str()),
    })
}

fn write_line(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes everything");
}
