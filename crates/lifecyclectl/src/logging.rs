//! `logging [FILTER]`: which log lines a host writes.

use serde_json::json;

use crate::documents::Logging;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::plain;

const PATH: &str = "/omnirelay/control/logging";

/// Shows the filter, or sets it.
pub(crate) async fn run(session: &Session, filter: Option<&str>) -> Result<Exit, Failure> {
    let answer = match filter {
        Some(filter) => {
            session
                .client
                .post(PATH, &json!({ "filter": filter }))
                .await?
        }
        None => session.client.get(PATH).await?,
    };
    let logging: Logging = answer.document()?;
    session
        .screen
        .show(&answer, || format!("{}\n", plain(&logging.filter)))?;
    Ok(Exit::Done)
}
