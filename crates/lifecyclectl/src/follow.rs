//! Follows an operation to its end, by asking again and again.

use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;

use crate::answer::Answer;
use crate::client::escaped;
use crate::documents::Operation;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};
use crate::text::{between, listed, plain, span};

/// How long to wait before asking again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Pauses between looks that grow: what is short is seen soon, what is long is asked for seldom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(PAUSES.0)
    }

    pub(crate) async fn pause(&mut self, patience: Patience) {
        patience.pause(self.0).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }
}

/// Says what blocks something, once each time that changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blockers(Vec<String>);

impl Blockers {
    /// # Errors
    ///
    /// When it cannot be printed.
    pub(crate) fn tell(
        &mut self,
        session: &Session,
        place: &str,
        names: &[String],
    ) -> Result<(), Failure> {
        if self.0 == names {
            return Ok(());
        }
        names.clone_into(&mut self.0);
        let line = match names.is_empty() {
            true => "no longer blocked".to_owned(),
            false => format!("blocked by {}", listed(names, 5)),
        };
        session.screen.progress(&format!("{place}{}", plain(&line)))
    }
}

/// Follows `operation`, which was so at `now`, prints how it ends, and gives that as exit code.
///
/// # Errors
///
/// When it fails, when the time is over, and when the host does not know it any more.
pub(crate) async fn to_its_end(
    session: &Session,
    operation: Operation,
    now: Timestamp,
) -> Result<Exit, Failure> {
    let patience = session.patience(operation.deadline.map(|it| it.0), now);
    let (answer, operation) = ended(session, "", operation, patience).await?;
    if let Some(failure) = failed(&operation) {
        if session.screen.is_json() {
            session.screen.show(&answer, String::new)?;
        }
        return Err(failure);
    }
    session.screen.show(&answer, || ending(&operation))?;
    Ok(Exit::Done)
}

/// The operation once it has ended, well or not; `place` is in front of what is said meanwhile.
///
/// # Errors
///
/// When the time is over, and when the host does not know it any more.
pub(crate) async fn ended(
    session: &Session,
    place: &str,
    mut operation: Operation,
    patience: Patience,
) -> Result<(Answer, Operation), Failure> {
    session.goes_on(goes_on(&operation));
    let path = format!("/control/lifecycle/operations/{}", escaped(&operation.id.0));
    let (mut blockers, mut pauses) = (Blockers::default(), Pauses::new());
    loop {
        // The first look is unconditional: it has the document that is printed at the end.
        let silent = match session.client.look(&path, patience.left()).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                return Err(forgotten(&operation));
            }
            Ok(answer) if !answer.status.is_success() => return Err(answer.refusal(&path)),
            Ok(answer) => {
                operation = answer.document()?;
                if operation.state != "running" {
                    return Ok((answer, operation));
                }
                blockers.tell(session, place, &operation.blocked_by)?;
                None
            }
            // It may come back: a host that is busy, or a connection that was cut.
            Err(silence) => Some(session.client.failure(&silence).what),
        };
        pauses.pause(patience).await;
        if patience.is_over() {
            return Err(too_late(&operation, patience, silent));
        }
    }
}

/// `restart of db`, or what is done to the node.
pub(crate) fn title(operation: &Operation) -> String {
    let title = match &operation.component {
        Some(component) => format!("{} of {component}", operation.operation),
        None => operation.operation.clone(),
    };
    plain(&title)
}

/// How an operation has ended.
pub(crate) fn ending(operation: &Operation) -> String {
    let title = title(operation);
    let took = operation
        .ended_at
        .map(|it| between(operation.started_at.0, it.0));
    let took = took.map(|it| format!(" in {it}")).unwrap_or_default();
    match (operation.state.as_str(), &operation.error) {
        ("succeeded", _) => format!("{title} succeeded{took}\n"),
        (state, Some(error)) => format!("{title} {state}{took}: {}\n", plain(error)),
        (state, None) => format!("{title} {state}{took}\n"),
    }
}

pub(crate) fn exit_of(operation: &Operation) -> Exit {
    match operation.state.as_str() {
        "failed" => Exit::Failed,
        _ => Exit::Done,
    }
}

/// That an operation has failed, if it has.
pub(crate) fn failed(operation: &Operation) -> Option<Failure> {
    let remedy = match (&operation.component, operation.operation.as_str()) {
        (Some(component), _) => format!("`lifecyclectl why {component}`"),
        (None, "drain") => "`lifecyclectl force`, or `resume` to take work again".to_owned(),
        (None, _) => "`lifecyclectl status`".to_owned(),
    };
    let what = ending(operation).trim_end().to_owned();
    (operation.state != "succeeded").then(|| Failure::new(Exit::Failed, what, remedy))
}

fn goes_on(operation: &Operation) -> String {
    format!(
        "operation {} ({}) goes on at the host",
        operation.id.0,
        title(operation)
    )
}

fn too_late(operation: &Operation, patience: Patience, silent: Option<String>) -> Failure {
    let mut what = format!(
        "not over after {}; {}",
        span(patience.length),
        goes_on(operation)
    );
    if !operation.blocked_by.is_empty() {
        what.push_str(&format!(
            ", blocked by {}",
            listed(&operation.blocked_by, 5)
        ));
    }
    if let Some(silent) = silent {
        what.push_str(&format!("; {silent}"));
    }
    let remedy = match operation.operation.as_str() {
        "drain" => "`lifecyclectl wait --for drained`, or `cancel`, or `force`",
        _ => "--timeout allows more; `lifecyclectl status` says how far it is",
    };
    Failure::new(Exit::TimedOut, plain(&what), remedy)
}

fn forgotten(operation: &Operation) -> Failure {
    let what = format!(
        "the host does not know operation {} ({}) any more",
        operation.id.0,
        title(operation)
    );
    let remedy = "has its process been restarted? `lifecyclectl status` says what is so now";
    Failure::new(Exit::Failed, what, remedy)
}
