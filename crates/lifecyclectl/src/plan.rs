//! `plan OP NAME`: what an operation would do, without doing it.

use serde_json::json;

use crate::documents::{Plan, Step};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operate::Verb;
use crate::screen::Screen;
use crate::session::Session;
use crate::text::{Cell, NOTHING, Table, counted, length, wrapped};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What would be done.
    operation: Verb,
    /// The component.
    name: String,
    /// Plan it as with --force.
    #[arg(long)]
    force: bool,
}

/// Exit code 4 when the operation would be refused.
pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let body = json!({
        "operation": args.operation.as_str(),
        "component": args.name,
        "force": args.force,
    });
    let answer = session
        .client
        .post("/control/lifecycle/plan", &body)
        .await?;
    let plan: Plan = answer.document()?;
    session
        .screen
        .show(&answer, || page(&plan, &session.screen))?;
    Ok(match plan.refusal {
        Some(_) => Exit::Refused,
        None => Exit::Done,
    })
}

fn page(plan: &Plan, screen: &Screen) -> String {
    let what = format!("{} {}", plan.operation, plan.component);
    if let Some(refusal) = &plan.refusal {
        let line = format!("{what} would be refused: {refusal}");
        return format!("{}\n", wrapped(&line, 0));
    }
    let (stops, starts) = (plan.stops.len(), plan.starts.len());
    let count = match (stops, starts) {
        (0, 0) => "would change nothing".to_owned(),
        (0, _) => format!("starts {}", counted(starts, "component")),
        (_, 0) => format!("stops {}", counted(stops, "component")),
        _ => format!("stops {} and starts {starts}", counted(stops, "component")),
    };
    let head = format!("{what} {count}, in this order (plan {})", plan.plan_id);
    let table = table(plan, screen);
    format!("{}\n{table}", wrapped(&head, 0))
}

fn table(plan: &Plan, screen: &Screen) -> String {
    let steps = |what: &'static str, steps: &[Step]| -> Vec<[Cell; 5]> {
        let rows = steps.iter().enumerate();
        rows.map(|(index, step)| {
            [
                Cell::new((index + 1).to_string()),
                Cell::new(what),
                Cell::new(&step.component),
                Cell::new(step.last_ms.map_or_else(|| NOTHING.to_owned(), length)),
                Cell::new(step.cause.as_deref().unwrap_or(NOTHING)),
            ]
        })
        .collect()
    };
    let mut table = Table::titled(&["", "", "COMPONENT", "LAST TIME", "CAUSE"]);
    let rows = [steps("stop", &plan.stops), steps("start", &plan.starts)].concat();
    if rows.is_empty() {
        return String::new();
    }
    rows.into_iter().for_each(|it| table.row(it));
    format!("\n{}", table.render(screen))
}
