//! `status`: is it up, and if not, why.

use jiff::Timestamp;

use crate::documents::{Blocking, Component, Issue, Node, Snapshot};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{Screen, Style};
use crate::session::Session;
use crate::text::{Cell, Facts, NOTHING, Table, between, counted, listed};

/// How many components with trouble are shown unless all are asked for.
const SHOWN: usize = 50;

/// How many issues are shown.
const ISSUES: usize = 5;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// List every component, not only those with trouble.
    #[arg(short, long)]
    all: bool,
}

/// Exit code 1 when the host is not ready.
pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, Failure> {
    let answer = session.client.get("/control/lifecycle").await?;
    let snapshot: Snapshot = answer.document()?;
    let page = || page(&snapshot, args.all, &session.screen);
    session.screen.show(&answer, page)?;
    Ok(match snapshot.readiness.ready {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn page(snapshot: &Snapshot, all: bool, screen: &Screen) -> String {
    let now = snapshot.captured_at.0;
    let mut facts = Facts::default();
    add_readiness(&mut facts, snapshot);
    let orchestrator = &snapshot.orchestrator;
    let since = between(orchestrator.since.0, now);
    let state = format!(
        "{} for {since}, run {}",
        orchestrator.state, orchestrator.run
    );
    facts.add_styled("state", state, Style::of_state(&orchestrator.state));
    add_node(&mut facts, &snapshot.node, now);
    facts.add("components", counts(snapshot));
    format!("{}{}", facts.render(screen), table(snapshot, all, screen))
}

fn add_readiness(facts: &mut Facts, snapshot: &Snapshot) {
    let readiness = &snapshot.readiness;
    let (verdict, style) = match (readiness.ready, readiness.degraded) {
        (true, false) => ("yes", Style::Good),
        (true, true) => ("yes, degraded", Style::Busy),
        (false, _) => ("NO", Style::Bad),
    };
    facts.add_styled("ready", verdict, style);
    for issue in readiness.issues.iter().take(ISSUES) {
        facts.add("ready", issue_line(issue));
    }
    if let more @ 1.. = readiness.issues.len().saturating_sub(ISSUES) {
        facts.add("ready", format!("and {}", counted(more, "more issue")));
    }
}

fn issue_line(issue: &Issue) -> String {
    let Issue {
        issue,
        severity,
        message,
    } = issue;
    match message {
        Some(message) => format!("{issue} ({severity}): {message}"),
        None => format!("{issue} ({severity})"),
    }
}

fn add_node(facts: &mut Facts, node: &Node, now: Timestamp) {
    let state = match (node.cordoned, node.drain.as_str()) {
        (true, "active") => "cordoned",
        (_, drain) => drain,
    };
    let mut line = format!("{state} for {}", between(node.since.0, now));
    if let Some(by) = &node.by {
        line.push_str(&format!(" by {by}"));
    }
    if let Some(reason) = &node.reason {
        line.push_str(&format!(": {reason}"));
    }
    facts.add_styled("node", line, Style::of_state(state));
    if let Some(deadline) = node.deadline {
        facts.add("node", format!("deadline in {}", between(now, deadline.0)));
    }
    for blocking in &node.blocked_by {
        facts.add("node", blocking_line(blocking));
    }
}

fn blocking_line(blocking: &Blocking) -> String {
    let mut line = format!("blocked by {}", blocking.component);
    if let Some(in_flight) = blocking.in_flight {
        line.push_str(&format!(", {in_flight} in flight"));
    }
    if let Some(error) = &blocking.error {
        line.push_str(&format!(": {}", error.message));
    }
    line
}

/// How many there are, and how many in each state, the worst first.
fn counts(snapshot: &Snapshot) -> String {
    let mut counts: Vec<_> = snapshot.counts.iter().filter(|(_, it)| **it > 0).collect();
    counts.sort_by_key(|(state, _)| rank_of(state));
    let states = counts.into_iter();
    let states: Vec<_> = states.map(|(state, it)| format!("{it} {state}")).collect();
    match states.is_empty() {
        true => "0".to_owned(),
        false => format!("{}: {}", snapshot.components.len(), states.join(", ")),
    }
}

fn table(snapshot: &Snapshot, all: bool, screen: &Screen) -> String {
    let now = snapshot.captured_at.0;
    let chosen = snapshot
        .components
        .iter()
        .filter(|it| all || is_in_trouble(it));
    let mut chosen: Vec<_> = chosen.collect();
    chosen.sort_by_key(|it| (rank(it), it.depth));
    let limit = if all { chosen.len() } else { SHOWN };
    if chosen.is_empty() {
        return String::new();
    }
    let mut table = Table::titled(&["COMPONENT", "STATE", "SINCE", "ATTEMPT"]);
    for component in chosen.iter().take(limit) {
        table.row([
            Cell::new(&component.name),
            Cell::state(condition(component)),
            Cell::new(between(component.since.0, now)),
            Cell::new(attempt(component)),
        ]);
        if let Some(sentence) = sentence(component, now) {
            table.remark(&sentence);
        }
    }
    let rest = match chosen.len().saturating_sub(limit) {
        0 => String::new(),
        more => format!("and {more} more; --all lists them\n"),
    };
    format!("\n{}{rest}", table.render(screen))
}

fn is_in_trouble(component: &Component) -> bool {
    component.state != "running" || condition(component) != "running"
}

/// The state, or what is wrong with what runs.
pub(crate) fn condition(component: &Component) -> &str {
    let runs = component.state == "running";
    match runs {
        true if component.health == "unhealthy" => "unhealthy",
        true if component.degraded.is_some() || !component.missing.is_empty() => "degraded",
        _ => &component.state,
    }
}

/// What is broken by itself comes before what suffers from something else.
fn rank(component: &Component) -> u32 {
    let suffers = component
        .cause
        .as_ref()
        .is_some_and(|it| *it != component.name);
    rank_of(condition(component)) * 2 + u32::from(suffers)
}

fn rank_of(state: &str) -> u32 {
    match state {
        "faulted" => 0,
        "backing-off" => 1,
        "unhealthy" => 2,
        "stopping" => 3,
        "starting" => 4,
        "waiting" => 5,
        "degraded" => 6,
        "stopped" => 7,
        "created" => 8,
        _ => 9,
    }
}

fn attempt(component: &Component) -> String {
    match (component.attempt, component.max_attempts) {
        (0, _) => NOTHING.to_owned(),
        // Endless, as policies write it.
        (attempt, u32::MAX) => attempt.to_string(),
        (attempt, most) => format!("{attempt} of {most}"),
    }
}

/// Why a component is in its state, as far as the snapshot tells; `why` tells more.
pub(crate) fn sentence(component: &Component, now: Timestamp) -> Option<String> {
    let error = component.last_error.as_ref().map(|it| it.message.as_str());
    match component.state.as_str() {
        "faulted" => error.map(str::to_owned),
        "backing-off" => Some(retried(component, error.unwrap_or("it was lost"), now)),
        "stopped" if component.held => Some(format!(
            "stopped by an operator; `lifecyclectl start {}` brings it back",
            component.name
        )),
        "waiting" | "stopping" if !component.waiting_on.is_empty() => Some(waits(component)),
        "waiting" if component.gated => {
            let gate = component.gate.as_deref().unwrap_or("of a dependency");
            Some(format!("the gate {gate} is closed"))
        }
        "running" if !component.missing.is_empty() => {
            Some(format!("goes on without {}", listed(&component.missing, 3)))
        }
        "running" => component.degraded.clone(),
        _ => caused(component).or_else(|| component.progress.clone()),
    }
}

fn retried(component: &Component, error: &str, now: Timestamp) -> String {
    match component.retry_at {
        Some(at) => format!("{error}; again in {}", between(now, at.0)),
        None => error.to_owned(),
    }
}

fn waits(component: &Component) -> String {
    let awaited = component.waiting_on.iter();
    let awaited: Vec<_> = awaited
        .map(|it| format!("{} ({})", it.component, it.state))
        .collect();
    format!("waits for {}", listed(&awaited, 3))
}

fn caused(component: &Component) -> Option<String> {
    let cause = component.cause.as_ref()?;
    (*cause != component.name).then(|| format!("because of {cause}"))
}
