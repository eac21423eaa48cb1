//! `timeline`, `chain` and `blame`: where the time of a start or a stop went.

use crate::documents::{Bar, Bars, Phase, Timeline};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{Screen, Style};
use crate::session::Session;
use crate::text::{Cell, NOTHING, Table, between, counted, length};

/// How many columns the longest bar has.
const COLUMNS: f64 = 36.0;

/// Which phase is looked at.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Look at the last stop, not at the start.
    #[arg(long)]
    stop: bool,
}

/// What is made of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View {
    Timeline,
    Chain,
    Blame,
}

pub(crate) async fn run(session: &Session, args: Args, view: View) -> Result<Exit, Failure> {
    let answer = session.client.get("/control/lifecycle/timeline").await?;
    let timeline: Timeline = answer.document()?;
    let side = Side::new(&timeline, args.stop);
    let screen = &session.screen;
    session.screen.show(&answer, || match view {
        View::Timeline => side.timeline(screen),
        View::Chain => side.chain(screen),
        View::Blame => side.blame(screen),
    })?;
    Ok(Exit::Done)
}

/// One phase with the bars of its components.
struct Side<'a> {
    name: &'static str,
    timeline: &'a Timeline,
    phase: Option<&'a Phase>,
    bars: Vec<(&'a str, &'a Bar)>,
}

impl<'a> Side<'a> {
    fn new(timeline: &'a Timeline, stop: bool) -> Self {
        let bar = |it: &'a Bars| match stop {
            true => it.stop.as_ref(),
            false => it.start.as_ref(),
        };
        let bars = timeline.components.iter();
        let mut bars: Vec<_> = bars
            .filter_map(|it| Some((it.name.as_str(), bar(it)?)))
            .collect();
        // What has not begun stands last.
        let began = |bar: &Bar| bar.began_ms.unwrap_or(f64::INFINITY);
        bars.sort_by(|(_, one), (_, other)| began(one).total_cmp(&began(other)));
        let (name, phase) = match stop {
            true => ("stop", timeline.stop.as_ref()),
            false => ("start", timeline.start.as_ref()),
        };
        Self {
            name,
            timeline,
            phase,
            bars,
        }
    }

    fn headline(&self) -> String {
        let now = self.timeline.captured_at.0;
        let Some(phase) = self.phase else {
            return format!("there was no {} yet\n", self.name);
        };
        match phase.ended_at {
            Some(ended) => format!(
                "the {} took {} and ended {} ago\n",
                self.name,
                length(phase.duration_ms),
                between(ended.0, now)
            ),
            None => format!(
                "the {} is under way for {}\n",
                self.name,
                between(phase.began_at.0, now)
            ),
        }
    }

    fn timeline(&self, screen: &Screen) -> String {
        let Some(phase) = self.phase else {
            return self.headline();
        };
        let ends = self.bars.iter().map(|(_, it)| end(it, phase));
        let whole = ends
            .fold(phase.duration_ms, f64::max)
            .max(f64::MIN_POSITIVE);
        let mut table = Table::titled(&["COMPONENT", "", "TOOK"]);
        for (name, bar) in &self.bars {
            let critical = phase.critical_path.iter().any(|it| it.component == *name);
            let style = if critical { Style::Bad } else { Style::Plain };
            let took = bar.began_ms.map(|it| length(end(bar, phase) - it));
            let took = took.unwrap_or_else(|| NOTHING.to_owned());
            let took = if critical { format!("{took} *") } else { took };
            table.row([
                Cell::styled(name, style),
                Cell::styled(drawn(bar, phase, whole), style),
                Cell::new(took),
            ]);
        }
        let legend = "\n·  waiting   ~  backing off   #  working   *  on the critical path\n";
        let truncated = match self.timeline.truncated {
            true => "some of it was missed: the bars may be estimates\n",
            false => "",
        };
        format!(
            "{}{truncated}\n{}{legend}",
            self.headline(),
            table.render(screen)
        )
    }

    fn chain(&self, screen: &Screen) -> String {
        let Some(phase) = self.phase else {
            return self.headline();
        };
        let mut table = Table::titled(&["COMPONENT", "WAITED", "WORKED", "BACKED OFF"]);
        for it in &phase.critical_path {
            table.row([
                Cell::new(&it.component),
                Cell::new(length(it.waiting_ms)),
                Cell::new(length(it.working_ms)),
                Cell::new(length(it.backing_off_ms)),
            ]);
        }
        let count = counted(phase.critical_path.len(), "component");
        format!(
            "{}critical path: {count}\n\n{}",
            self.headline(),
            table.render(screen)
        )
    }

    /// Who took longest by its own doing: waiting for others is nobody's blame.
    fn blame(&self, screen: &Screen) -> String {
        if self.phase.is_none() {
            return self.headline();
        }
        let own = |bar: &Bar| bar.working_ms + bar.backing_off_ms;
        let mut bars = self.bars.clone();
        bars.sort_by(|(_, one), (_, other)| own(other).total_cmp(&own(one)));
        let mut table = Table::titled(&["TIME", "COMPONENT", "ATTEMPTS", "BACKED OFF"]);
        for (name, bar) in bars {
            table.row([
                Cell::new(length(own(bar))),
                Cell::new(name),
                Cell::new(bar.attempts.to_string()),
                Cell::new(length(bar.backing_off_ms)),
            ]);
        }
        format!("{}\n{}", self.headline(), table.render(screen))
    }
}

/// When a bar ends; what has not ended is as long as the phase.
fn end(bar: &Bar, phase: &Phase) -> f64 {
    let end = bar.ended_ms.unwrap_or(phase.duration_ms);
    end.max(bar.began_ms.unwrap_or_default())
}

/// A bar on an axis of `whole` milliseconds: what was waited before the first attempt, and then the attempts. These are split
/// by share: in which order a component worked and backed off, the document does not say.
fn drawn(bar: &Bar, phase: &Phase, whole: f64) -> String {
    let column = |ms: f64| (ms.max(0.0) / whole * COLUMNS).round() as usize;
    let end = end(bar, phase);
    let began = bar.began_ms.unwrap_or(end);
    let first = column(began - bar.waiting_ms);
    let waiting = column(began).saturating_sub(first);
    let attempts = match bar.began_ms {
        Some(began) => column(end).saturating_sub(column(began)).max(1),
        None => 0,
    };
    let parts = bar.backing_off_ms + bar.working_ms;
    let off = match parts > 0.0 {
        true => (bar.backing_off_ms / parts * attempts as f64).round() as usize,
        false => 0,
    };
    let (blank, waiting) = (" ".repeat(first), "·".repeat(waiting));
    format!(
        "{blank}{waiting}{}{}",
        "~".repeat(off),
        "#".repeat(attempts - off)
    )
}
