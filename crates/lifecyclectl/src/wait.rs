//! `wait --for ready|stopped|drained`.

use crate::client::{REQUEST, Silence};
use crate::documents::{Probe, Snapshot, Upgrade};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{Blockers, Pauses};
use crate::session::{Patience, Session};
use crate::text::{listed, plain, span};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Goal {
    /// It answers that it is ready.
    Ready,
    /// Its orchestrator has stopped, or nothing listens any more.
    Stopped,
    /// Nothing is in flight any more.
    Drained,
}

impl Goal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Drained => "drained",
        }
    }
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// What to wait for.
    #[arg(long = "for", value_name = "GOAL")]
    goal: Goal,
}

/// How far it is.
enum Look {
    Reached,
    /// Not yet, and why.
    Not(String),
    /// The host did not say, and why.
    Silent(String),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, Failure> {
    let patience = Patience::of(session.timeout.unwrap_or(REQUEST));
    session.goes_on("only the waiting is over, the host goes on");
    until(session, "", args.goal, patience).await?;
    let goal = args.goal.as_str();
    match session.screen.is_json() {
        true => {
            let document = serde_json::json!({ "reached": goal });
            session.screen.print(&format!("{document}\n"))?;
        }
        false => session.screen.print(&format!("{goal}\n"))?,
    }
    Ok(Exit::Done)
}

/// Waits until the host is what `goal` says; `place` is in front of what is said meanwhile.
///
/// # Errors
///
/// When the time is over, when the drain that is waited for has failed, and when the host refuses to tell.
pub(crate) async fn until(
    session: &Session,
    place: &str,
    goal: Goal,
    patience: Patience,
) -> Result<(), Failure> {
    let mut pauses = Pauses::new();
    let mut blockers = Blockers::default();
    let mut seen: Option<String> = None;
    loop {
        let look = match goal {
            Goal::Ready => is_ready(session, patience).await?,
            Goal::Stopped => is_stopped(session, patience).await?,
            Goal::Drained => is_drained(session, place, &mut blockers, patience).await?,
        };
        seen = match look {
            Look::Reached => return Ok(()),
            // The last look may have had no time left: what was seen before says more.
            Look::Silent(why) if patience.is_over() => seen.or(Some(why)),
            Look::Not(why) | Look::Silent(why) => Some(why),
        };
        pauses.pause(patience).await;
        if patience.is_over() {
            return Err(too_late(goal, &seen.unwrap_or_default(), patience));
        }
    }
}

fn too_late(goal: Goal, why: &str, patience: Patience) -> Failure {
    let what = format!(
        "not {} after {}: {}",
        goal.as_str(),
        span(patience.length),
        plain(why)
    );
    let remedy = match goal {
        Goal::Ready => "`lifecyclectl status` says why",
        Goal::Stopped => "`lifecyclectl status` says what is still up",
        Goal::Drained => "`lifecyclectl mesh upgrade status` says what blocks it; `force` ends it",
    };
    Failure::new(Exit::TimedOut, what, remedy)
}

/// What is to be said of `silence`; an error when it does not pass by waiting.
fn silent(session: &Session, silence: &Silence) -> Result<Look, Failure> {
    let failure = session.client.failure(silence);
    match failure.exit {
        Exit::Refused => Err(failure),
        _ => Ok(Look::Silent(failure.what)),
    }
}

async fn is_ready(session: &Session, patience: Patience) -> Result<Look, Failure> {
    let answer = match session.client.look("/readyz", patience.left()).await {
        Ok(answer) => answer,
        Err(silence) => return silent(session, &silence),
    };
    if answer.status.is_success() {
        return Ok(Look::Reached);
    }
    if answer.status.is_client_error() {
        return Err(answer.refusal("/readyz"));
    }
    let probe: Probe = serde_json::from_str(&answer.text()).unwrap_or_default();
    Ok(Look::Not(match probe.issues.is_empty() {
        true => format!("it answers {}", answer.status),
        false => listed(&probe.issues, 5),
    }))
}

async fn is_stopped(session: &Session, patience: Patience) -> Result<Look, Failure> {
    let path = "/control/lifecycle";
    let answer = match session.client.look(path, patience.left()).await {
        Ok(answer) => answer,
        // The diagnostics are the last to go.
        Err(Silence::NoConnection(_)) => return Ok(Look::Reached),
        Err(silence) => return silent(session, &silence),
    };
    if answer.status.is_client_error() {
        return Err(answer.refusal(path));
    }
    if !answer.status.is_success() {
        return Ok(Look::Not(format!("it answers {}", answer.status)));
    }
    let snapshot: Snapshot = answer.document()?;
    let state = snapshot.orchestrator.state;
    Ok(match state == "stopped" {
        true => Look::Reached,
        false => Look::Not(format!("it is {state}")),
    })
}

async fn is_drained(
    session: &Session,
    place: &str,
    blockers: &mut Blockers,
    patience: Patience,
) -> Result<Look, Failure> {
    let path = "/control/upgrade";
    let answer = match session.client.look(path, patience.left()).await {
        Ok(answer) => answer,
        Err(silence) => return silent(session, &silence),
    };
    if answer.status.is_client_error() {
        return Err(answer.refusal(path));
    }
    if !answer.status.is_success() {
        return Ok(Look::Not(format!("it answers {}", answer.status)));
    }
    let upgrade: Upgrade = answer.document()?;
    blockers.tell(session, place, &upgrade.blocked_by)?;
    match upgrade.state.as_str() {
        "drained" => Ok(Look::Reached),
        "failed" => Err(drain_failed(&upgrade)),
        state => Ok(Look::Not(match upgrade.blocked_by.is_empty() {
            true => format!("it is {state}"),
            false => format!("blocked by {}", listed(&upgrade.blocked_by, 5)),
        })),
    }
}

fn drain_failed(upgrade: &Upgrade) -> Failure {
    let failed = upgrade.participants.iter();
    let failed = failed.filter_map(|it| Some((&it.name, it.last_error.as_ref()?)));
    let failed: Vec<_> = failed
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    let what = match failed.is_empty() {
        true => "the drain has failed".to_owned(),
        false => format!("the drain has failed: {}", listed(&failed, 3)),
    };
    let remedy = "`lifecyclectl force`, `drain` again, or `resume` to take work again";
    Failure::new(Exit::Failed, plain(&what), remedy)
}

/// The issues of a host, or nothing when it is ready.
///
/// # Errors
///
/// When it refuses to tell.
pub(crate) async fn unready(
    session: &Session,
    patience: Patience,
) -> Result<Option<String>, Failure> {
    Ok(match is_ready(session, patience).await? {
        Look::Reached => None,
        Look::Not(why) | Look::Silent(why) => Some(why),
    })
}
