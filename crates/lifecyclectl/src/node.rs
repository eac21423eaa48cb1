//! `cordon`, `uncordon`, `drain`, `resume`, `cancel`, `force`, and `mesh upgrade status`: the node as a whole.

use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::cli::duration;
use crate::documents::{Begun, Operation, Upgrade};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow;
use crate::operate::{beginning, put, standing};
use crate::screen::{Screen, Style};
use crate::session::Session;
use crate::text::{Cell, Facts, NOTHING, Table, listed, moment};

/// What is done to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Cordon,
    Uncordon,
    Drain,
    Resume,
    Cancel,
    Force,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Force => "force",
        }
    }
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Why; it is kept and shown.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
}

impl Args {
    pub(crate) fn because(reason: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            wait: false,
        }
    }

    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        put(&mut body, "reason", self.reason.clone());
        body
    }
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) node: Args,
    /// Fail when work is still in flight after this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,
    /// Give up what is still in flight after this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) force_after: Option<Duration>,
}

impl DrainArgs {
    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = self.node.body();
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        put(&mut body, "deadlineMs", self.deadline.map(millis));
        put(&mut body, "forceAfterMs", self.force_after.map(millis));
        body
    }
}

pub(crate) async fn drain(session: &Session, args: &DrainArgs) -> Result<Exit, Failure> {
    act(session, Verb::Drain, args.body(), args.node.wait).await
}

pub(crate) async fn run(session: &Session, verb: Verb, args: &Args) -> Result<Exit, Failure> {
    act(session, verb, args.body(), args.wait).await
}

async fn act(
    session: &Session,
    verb: Verb,
    body: Map<String, Value>,
    wait: bool,
) -> Result<Exit, Failure> {
    let what = verb.as_str();
    session.goes_on(format!("the request to {what} may have arrived"));
    let (answer, outcome) = begin(session, verb, body).await?;
    let now = answer.now;
    let screen = &session.screen;
    let Outcome { begun, upgrade } = outcome;
    let page = || page(&upgrade, now, screen);
    let Some(operation) = begun else {
        screen.show(&answer, page)?;
        return Ok(Exit::Done);
    };
    if wait {
        screen.progress(beginning(&operation).trim_end())?;
        return follow::to_its_end(session, operation, now).await;
    }
    screen.show(&answer, || format!("{}{}", standing(&operation), page()))?;
    Ok(follow::exit_of(&operation))
}

/// What an operation on the node has met.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Unset when it was so already.
    pub(crate) begun: Option<Operation>,
    upgrade: Upgrade,
}

/// Begins the operation and does not wait for it.
///
/// # Errors
///
/// When the host refuses, or does not answer.
pub(crate) async fn begin(
    session: &Session,
    verb: Verb,
    body: Map<String, Value>,
) -> Result<(Answer, Outcome), Failure> {
    let path = format!("/control/upgrade/{}", verb.as_str());
    let answer = session.client.post(&path, &json!(body)).await?;
    if answer.status != StatusCode::ACCEPTED {
        let upgrade = answer.document()?;
        return Ok((
            answer,
            Outcome {
                begun: None,
                upgrade,
            },
        ));
    }
    let Begun { operation, upgrade } = answer.document()?;
    let begun = Some(operation);
    let outcome = Outcome { begun, upgrade };
    Ok((answer, outcome))
}

pub(crate) async fn status(session: &Session) -> Result<Exit, Failure> {
    let answer = session.client.get("/control/upgrade").await?;
    let upgrade: Upgrade = answer.document()?;
    let page = || page(&upgrade, answer.now, &session.screen);
    session.screen.show(&answer, page)?;
    Ok(Exit::Done)
}

fn page(upgrade: &Upgrade, now: Timestamp, screen: &Screen) -> String {
    let mut facts = Facts::default();
    let mut state = upgrade.state.clone();
    if upgrade.cordoned {
        state.push_str(", cordoned");
    }
    if upgrade.forced {
        state.push_str(", forced");
    }
    let style = match (upgrade.state.as_str(), upgrade.cordoned) {
        ("active", true) => Style::Busy,
        (state, _) => Style::of_state(state),
    };
    facts.add_styled("state", state, style);
    facts.add("reason", upgrade.reason.as_deref().unwrap_or(NOTHING));
    facts.add("by", upgrade.by.as_deref().unwrap_or(NOTHING));
    facts.add("updated", moment(upgrade.updated_at.0, now));
    if let Some(deadline) = upgrade.deadline {
        facts.add("deadline", moment(deadline.0, now));
    }
    if !upgrade.blocked_by.is_empty() {
        facts.add("blocked by", listed(&upgrade.blocked_by, 20));
    }
    format!("{}{}", facts.render(screen), participants(upgrade, screen))
}

fn participants(upgrade: &Upgrade, screen: &Screen) -> String {
    if upgrade.participants.is_empty() {
        return "participants: none\n".to_owned();
    }
    let mut table = Table::titled(&["PARTICIPANT", "STATE", "IN FLIGHT"]);
    for it in &upgrade.participants {
        let in_flight = it.in_flight.map(|it| it.to_string());
        table.row([
            Cell::new(&it.name),
            Cell::state(&it.state),
            Cell::new(in_flight.as_deref().unwrap_or(NOTHING)),
        ]);
        if let Some(remark) = it.last_error.as_ref().or(it.progress.as_ref()) {
            table.remark(remark);
        }
    }
    format!("\n{}", table.render(screen))
}
