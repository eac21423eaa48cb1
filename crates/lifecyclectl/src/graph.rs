//! `graph`: the plan with live states, for other programs.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Json,
    /// For Graphviz.
    Dot,
}

/// Prints the host's document as it is: `dot`, unless JSON is asked for.
pub(crate) async fn run(session: &Session, format: Option<Format>) -> Result<Exit, Failure> {
    let asked = match session.screen.is_json() {
        true => Format::Json,
        false => Format::Dot,
    };
    let path = match format.unwrap_or(asked) {
        Format::Json => "/control/lifecycle/graph?format=json",
        Format::Dot => "/control/lifecycle/graph?format=dot",
    };
    let answer = session.client.get(path).await?;
    let text = answer.text();
    session.screen.print(&format!("{}\n", text.trim_end()))?;
    Ok(Exit::Done)
}
