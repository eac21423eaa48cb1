//! `restart`, `stop` and `start NAME`: operations on one component.

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::client::escaped;
use crate::documents::Operation;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow;
use crate::session::Session;

/// An operation on one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Verb {
    Restart,
    Stop,
    Start,
}

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Start => "start",
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    name: String,
    /// Why; it is kept and shown.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do it although something essential goes down with it.
    #[arg(long)]
    force: bool,
    /// Do it only if the plan is still this one, as `plan` has named it.
    #[arg(long, value_name = "ID")]
    plan_id: Option<String>,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(session: &Session, verb: Verb, args: &Args) -> Result<Exit, Failure> {
    let name = &args.name;
    let mut body = Map::new();
    put(&mut body, "reason", args.reason.clone());
    put(&mut body, "planId", args.plan_id.clone());
    if args.force {
        body.insert("force".to_owned(), json!(true));
    }
    session.goes_on(format!(
        "the request to {} {name} may have arrived",
        verb.as_str()
    ));
    let (answer, operation) = begin(session, verb, name, body).await?;
    if !args.wait {
        session.screen.show(&answer, || standing(&operation))?;
        return Ok(follow::exit_of(&operation));
    }
    session.screen.progress(beginning(&operation).trim_end())?;
    follow::to_its_end(session, operation, answer.now).await
}

/// Begins the operation and does not wait for it.
///
/// # Errors
///
/// When the host refuses, or does not answer.
pub(crate) async fn begin(
    session: &Session,
    verb: Verb,
    name: &str,
    body: Map<String, Value>,
) -> Result<(Answer, Operation), Failure> {
    let path = format!(
        "/control/lifecycle/components/{}/{}",
        escaped(name),
        verb.as_str()
    );
    let answer = session.client.post(&path, &Value::Object(body)).await?;
    let operation: Operation = answer.document()?;
    Ok((answer, operation))
}

/// Puts what was given; a host takes unset from absent.
pub(crate) fn put(body: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.into());
    }
}

/// That an operation has begun.
pub(crate) fn beginning(operation: &Operation) -> String {
    let title = follow::title(operation);
    format!("{title} has begun: operation {}\n", operation.id.0)
}

/// That an operation has begun, or how it has ended already.
pub(crate) fn standing(operation: &Operation) -> String {
    match operation.state.as_str() {
        "running" => beginning(operation),
        _ => follow::ending(operation),
    }
}
