//! `leaders`: who leads which scope, and with `--watch` what happens to that.

use jiff::Timestamp;

use crate::client::escaped;
use crate::documents::{Leaders, LeadershipChange, LeadershipGap};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{Screen, warn};
use crate::session::Session;
use crate::sse::Event;
use crate::stream::{AGAIN, Stream, is_worth_another_try, parsed};
use crate::text::{Cell, NOTHING, Table, between, counted, plain};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// This scope alone.
    #[arg(long)]
    scope: Option<String>,
    /// Go on with what happens, until interrupted.
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    if args.watch {
        session.goes_on("the host goes on");
        return watch(session, &args.path("/control/events/leadership")).await;
    }
    let answer = session.client.get(&args.path("/control/leaders")).await?;
    let leaders: Leaders = answer.document()?;
    session
        .screen
        .show(&answer, || page(&leaders, answer.now, &session.screen))?;
    Ok(Exit::Done)
}

impl Args {
    fn path(&self, path: &str) -> String {
        match &self.scope {
            Some(scope) => format!("{path}?scope={}", escaped(scope)),
            None => path.to_owned(),
        }
    }
}

fn page(leaders: &Leaders, now: Timestamp, screen: &Screen) -> String {
    if leaders.local_node_id.is_none() {
        return "leadership is switched off, or not shown: this host knows no leaders\n".to_owned();
    }
    if leaders.leaders.is_empty() {
        return "this host stands for no such scope\n".to_owned();
    }
    let mut table = Table::titled(&["SCOPE", "LEADER", "TERM", "TOKEN", "LEASE ENDS IN"]);
    for it in &leaders.leaders {
        let leader = it.leader_id.as_ref().map(|id| match it.is_local {
            true => format!("{id} *"),
            false => id.clone(),
        });
        let term = it.term.map(|it| it.to_string());
        let ends = it.expires_at.map(|it| between(now, it.0));
        let or_nothing = |it: Option<&str>| Cell::new(it.unwrap_or(NOTHING));
        table.row([
            Cell::new(&it.scope),
            or_nothing(leader.as_deref()),
            or_nothing(term.as_deref()),
            or_nothing(it.fence_token.as_deref()),
            or_nothing(ends.as_deref()),
        ]);
        if let Some(issue) = &it.issue {
            table.remark(issue);
        }
    }
    let count = counted(leaders.leaders.len(), "scope");
    format!("{count}, * is this node\n\n{}", table.render(screen))
}

/// Goes on until interrupted, also beyond the end of a stream: each begins with how things stand.
async fn watch(session: &Session, path: &str) -> Result<Exit, Failure> {
    loop {
        match read(session, path).await {
            Err(failure) if !is_worth_another_try(&failure) => return Err(failure),
            Err(failure) => warn(&format!("{}; trying again", failure.what)),
            Ok(()) => warn("the stream has ended; trying again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn read(session: &Session, path: &str) -> Result<(), Failure> {
    let mut stream = Stream::open(session, path, None).await?;
    while let Some(event) = stream.next().await? {
        if session.screen.is_json() {
            let line = format!("{}\n", event.data.replace('\n', " "));
            session.screen.print(&line)?;
        } else if let Some(text) = told(&event, &session.screen)? {
            session.screen.print(&text)?;
        }
    }
    Ok(())
}

fn told(event: &Event, screen: &Screen) -> Result<Option<String>, Failure> {
    Ok(match event.name.as_str() {
        "snapshot" => {
            let leaders: Leaders = parsed(event)?;
            Some(page(&leaders, leaders.generated_at.0, screen))
        }
        "gap" => {
            let gap: LeadershipGap = parsed(event)?;
            let count = counted(gap.missed, "event");
            Some(format!("… {count} missed; how things stand now:\n"))
        }
        "change" => line(&parsed(event)?),
        _ => None,
    })
}

/// Renewals are not told: a leader has one each second or two, and nothing changes.
fn line(change: &LeadershipChange) -> Option<String> {
    if change.kind == "renewed" {
        return None;
    }
    let at = change.occurred_at.0.strftime("%H:%M:%S%.3f");
    let leader = change.leader_id.as_deref().unwrap_or("nobody");
    let mut line = format!("{at} {}: {} {leader}", change.scope, change.kind);
    if let (Some(term), Some(token)) = (change.term, &change.fence_token) {
        line.push_str(&format!(" (term {term}, token {token})"));
    }
    if let Some(reason) = &change.reason {
        line.push_str(&format!(": {reason}"));
    }
    Some(format!("{}\n", plain(&line)))
}
