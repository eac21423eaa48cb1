//! `peers`: the nodes that a host knows.

use crate::documents::Peers;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;
use crate::text::{Cell, NOTHING, Table, between, counted, length};

pub(crate) async fn run(session: &Session) -> Result<Exit, Failure> {
    let answer = session.client.get("/control/peers").await?;
    let peers: Peers = answer.document()?;
    session
        .screen
        .show(&answer, || page(&peers, &session.screen))?;
    Ok(Exit::Done)
}

fn page(peers: &Peers, screen: &Screen) -> String {
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
