//! `why NAME`: the root cause first.

use crate::client::escaped;
use crate::documents::Why;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{Screen, Style};
use crate::session::Session;
use crate::text::{Facts, listed};

pub(crate) async fn run(session: &Session, name: &str) -> Result<Exit, Failure> {
    let path = format!("/control/lifecycle/components/{}/why", escaped(name));
    let answer = session.client.get(&path).await?;
    let why: Why = answer.document()?;
    session
        .screen
        .show(&answer, || page(&why, &session.screen))?;
    Ok(Exit::Done)
}

fn page(why: &Why, screen: &Screen) -> String {
    let mut facts = Facts::default();
    facts.add("root cause", why.root.as_deref().unwrap_or("none"));
    let state = format!("{} ({})", why.component, why.state);
    facts.add_styled("component", state, Style::of_state(&why.state));
    facts.add("why", &why.why);
    // From the root to the component: what broke first stands first.
    for link in why.chain.iter().rev() {
        let line = format!("{} ({}): {}", link.component, link.state, link.why);
        facts.add_styled("chain", line, Style::of_state(&link.state));
    }
    if !why.victims.is_empty() {
        facts.add("victims", listed(&why.victims, 20));
    }
    facts.render(screen)
}
