//! `events`: what has happened, and with `-f` what happens.

use tokio::time::timeout;

use crate::client::REQUEST;
use crate::documents::{Change, Counted, Gap};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{Style, warn};
use crate::session::{Patience, Session};
use crate::sse::Event;
use crate::stream::{AGAIN, Stream, broken, is_worth_another_try, parsed};
use crate::text::{plain, span, wrapped_from};

const PATH: &str = "/control/lifecycle/events";

/// Where the lines of one event begin after the first: below what follows its time.
const INDENT: usize = 13;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what happens, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last events to begin with.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    last: u64,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, Failure> {
    session.goes_on("the host goes on");
    let patience = Patience::of(session.timeout.unwrap_or(REQUEST));
    let present = Present::of(session, patience).await?;
    let from = present.sequence.saturating_sub(args.last);
    let mut tail = Tail {
        session,
        instance: present.instance,
        seen: from,
        end: (!args.follow).then_some(present.sequence),
    };
    if tail.is_over() {
        return Ok(Exit::Done);
    }
    if args.follow {
        tail.follow().await?;
    } else {
        let read = timeout(patience.left(), tail.read()).await;
        read.map_err(|_| late(patience))??;
    }
    Ok(Exit::Done)
}

fn late(patience: Patience) -> Failure {
    let what = format!("no more events within {}", span(patience.length));
    Failure::new(Exit::TimedOut, what, "--timeout allows more")
}

/// Where the stream of a host is.
struct Present {
    /// Tells the events of this process from those of the one before.
    instance: String,
    sequence: u64,
}

impl Present {
    async fn of(session: &Session, patience: Patience) -> Result<Self, Failure> {
        let mut stream = Stream::open(session, PATH, None).await?;
        let first = timeout(patience.left(), stream.next()).await;
        let first = first.map_err(|_| late(patience))??;
        let event = first.ok_or_else(|| broken(session, "it ended before its snapshot"))?;
        let counted: Counted = parsed(&event)?;
        let id = event.id.unwrap_or_default();
        let (instance, _) = id.rsplit_once('-').unwrap_or_default();
        Ok(Self {
            instance: instance.to_owned(),
            sequence: counted.sequence,
        })
    }
}

/// The events after one, in order.
struct Tail<'a> {
    session: &'a Session,
    instance: String,
    seen: u64,
    /// The last event that is wanted, if there is a last one.
    end: Option<u64>,
}

impl Tail<'_> {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.seen >= end)
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            match self.read().await {
                Err(failure) if !is_worth_another_try(&failure) => return Err(failure),
                Err(failure) => warn(&format!("{}; trying again", failure.what)),
                Ok(()) => warn("the stream has ended; trying again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Prints events up to the end that is wanted, or of the stream.
    async fn read(&mut self) -> Result<(), Failure> {
        let last = format!("{}-{}", self.instance, self.seen);
        let mut stream = Stream::open(self.session, PATH, Some(&last)).await?;
        while let Some(event) = stream.next().await? {
            self.take(&event)?;
            if self.is_over() {
                return Ok(());
            }
        }
        match self.end {
            Some(_) => Err(broken(self.session, "it ended too early")),
            None => Ok(()),
        }
    }

    fn take(&mut self, event: &Event) -> Result<(), Failure> {
        self.note_instance(event)?;
        match event.name.as_str() {
            "snapshot" => {
                let counted: Counted = parsed(event)?;
                self.seen = self.seen.max(counted.sequence);
                Ok(())
            }
            "gap" => {
                let gap: Gap = parsed(event)?;
                self.seen = self.seen.max(gap.to.unwrap_or_default());
                self.print(event, &lost(&gap), Style::Busy)
            }
            "change" => {
                let change: Change = parsed(event)?;
                self.seen = self.seen.max(change.sequence);
                let state = change.to.as_deref().unwrap_or_default();
                self.print(event, &line(&change), Style::of_change(state))
            }
            _ => Ok(()),
        }
    }

    /// A new process counts from the beginning.
    fn note_instance(&mut self, event: &Event) -> Result<(), Failure> {
        let id = event.id.as_deref().and_then(|it| it.rsplit_once('-'));
        let Some((instance, _)) = id.filter(|(it, _)| *it != self.instance) else {
            return Ok(());
        };
        instance.clone_into(&mut self.instance);
        self.seen = 0;
        match self.session.screen.is_json() {
            true => Ok(()),
            false => self
                .session
                .screen
                .print("… a new process: events count anew\n"),
        }
    }

    fn print(&self, event: &Event, text: &str, style: Style) -> Result<(), Failure> {
        let screen = &self.session.screen;
        match screen.is_json() {
            true => screen.print(&format!("{}\n", event.data.replace('\n', " "))),
            false => screen.print(&format!(
                "{}\n",
                screen.paint(style, &wrapped_from(&plain(text), 0, INDENT))
            )),
        }
    }
}

fn lost(gap: &Gap) -> String {
    let which = match (gap.from, gap.to) {
        (Some(from), Some(to)) => format!("… events {from} to {to} are lost"),
        _ => "… events are lost".to_owned(),
    };
    match &gap.reason {
        Some(reason) => format!("{which} ({reason})"),
        None => which,
    }
}

fn line(change: &Change) -> String {
    let at = change.at.0.strftime("%H:%M:%S%.3f");
    // What happens to no component happens to what the kind names: the orchestrator, or the node.
    let subject = change.component.as_deref().unwrap_or(&change.kind);
    let mut line = format!("{at} {subject}");
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => line.push_str(&format!(": {from} → {to}")),
        _ if change.kind == subject => {}
        _ => line.push_str(&format!(": {}", change.kind)),
    }
    if let Some(reason) = &change.reason {
        line.push_str(&format!(" ({reason})"));
    }
    if let Some(cause) = change.cause.as_ref().filter(|it| *it != subject) {
        line.push_str(&format!(" because of {cause}"));
    }
    let error = change.error.as_ref().map(|it| it.as_str());
    if let Some(text) = error.or(change.message.as_deref()) {
        line.push_str(&format!(": {text}"));
    }
    line
}

impl Style {
    /// Only what is wrong has a colour: most events are the usual run of things.
    fn of_change(state: &str) -> Self {
        match Self::of_state(state) {
            Self::Bad => Self::Bad,
            Self::Plain | Self::Good | Self::Busy | Self::Faint => Self::Plain,
        }
    }
}
