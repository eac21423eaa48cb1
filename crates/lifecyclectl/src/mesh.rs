//! `peers` and `leaders`: what this host knows of others.

use jiff::Timestamp;

use crate::client::escaped;
use crate::documents::{Leaders, Peers};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;
use crate::text::{Cell, NOTHING, Table, between, counted, length};

pub(crate) async fn peers(session: &Session) -> Result<Exit, Failure> {
    let answer = session.client.get("/control/peers").await?;
    let peers: Peers = answer.document()?;
    session
        .screen
        .show(&answer, || peers_page(&peers, &session.screen))?;
    Ok(Exit::Done)
}

fn peers_page(peers: &Peers, screen: &Screen) -> String {
    let Some(local) = &peers.local_node_id else {
        return "gossip is switched off: this host knows no peers\n".to_owned();
    };
    let now = peers.generated_at.0;
    let mut table = Table::titled(&["NODE", "STATUS", "SEEN", "RTT", "ROLE", "ADDRESS"]);
    for it in &peers.peers {
        let own = it.node_id == *local;
        let name = if own {
            format!("{} *", it.node_id)
        } else {
            it.node_id.clone()
        };
        table.row([
            Cell::new(name),
            Cell::state(&it.status),
            Cell::new(format!("{} ago", between(it.last_seen.0, now))),
            Cell::new(it.rtt_ms.map_or_else(|| NOTHING.to_owned(), length)),
            Cell::new(&it.metadata.role),
            Cell::new(&it.address),
        ]);
    }
    let count = counted(peers.peers.len(), "node");
    format!("{count}, * is this one\n\n{}", table.render(screen))
}

pub(crate) async fn leaders(session: &Session, scope: Option<&str>) -> Result<Exit, Failure> {
    let path = match scope {
        Some(scope) => format!("/control/leaders?scope={}", escaped(scope)),
        None => "/control/leaders".to_owned(),
    };
    let answer = session.client.get(&path).await?;
    let leaders: Leaders = answer.document()?;
    session.screen.show(&answer, || {
        leaders_page(&leaders, answer.now, &session.screen)
    })?;
    Ok(Exit::Done)
}

fn leaders_page(leaders: &Leaders, now: Timestamp, screen: &Screen) -> String {
    if leaders.leaders.is_empty() {
        return "no scope has a leader that this host knows\n".to_owned();
    }
    let mut table = Table::titled(&["SCOPE", "LEADER", "TERM", "LEASE ENDS IN"]);
    for it in &leaders.leaders {
        let term = it.term.map(|it| it.to_string());
        let ends = it.expires_at.map(|it| between(now, it.0));
        table.row([
            Cell::new(&it.scope),
            Cell::new(it.leader_id.as_deref().unwrap_or(NOTHING)),
            Cell::new(term.as_deref().unwrap_or(NOTHING)),
            Cell::new(ends.as_deref().unwrap_or(NOTHING)),
        ]);
    }
    table.render(screen)
}
