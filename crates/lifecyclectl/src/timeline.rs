//! `timeline`, `chain` and `blame`: where the time of a start or a stop went.

use crate::documents::{Bar, Bars, Phase, Timeline};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::{Screen, Style};
use crate::session::Session;
use crate::text::{Cell, Table, between, counted, length};

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
        bars.sort_by(|(_, one), (_, other)| one.began_ms.total_cmp(&other.began_ms));
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
            let took = length(end(bar, phase) - bar.began_ms);
            let took = if critical { format!("{took} *") } else { took };
            table.row([
                Cell::styled(name, style),
                Cell::styled(drawn(bar, phase, whole), style),
                Cell::new(took),
            ]);
        }
        let legend = "\n·  waiting   ~  backing off   #  working   *  on the critical path\n";
        format!("{}\n{}{legend}", self.headline(), table.render(screen))
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
    bar.ended_ms.unwrap_or(phase.duration_ms).max(bar.began_ms)
}

/// A bar on an axis of `whole` milliseconds. It is split by share: in which order a component waited, worked and backed off,
/// the document does not say.
fn drawn(bar: &Bar, phase: &Phase, whole: f64) -> String {
    let column = |ms: f64| (ms / whole * COLUMNS).round() as usize;
    let first = column(bar.began_ms).min(COLUMNS as usize - 1);
    let cells = (column(end(bar, phase)).saturating_sub(first)).max(1);
    let parts = bar.waiting_ms + bar.backing_off_ms + bar.working_ms;
    let share = |ms: f64| match parts > 0.0 {
        true => (ms / parts * cells as f64).round() as usize,
        false => 0,
    };
    let waiting = share(bar.waiting_ms).min(cells);
    let off = share(bar.backing_off_ms).min(cells - waiting);
    let working = cells - waiting - off;
    let drawn = ["·".repeat(waiting), "~".repeat(off), "#".repeat(working)];
    format!("{}{}", " ".repeat(first), drawn.concat())
}
