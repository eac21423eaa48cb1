//! `tree`: who depends on whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::documents::{Component, Snapshot};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;
use crate::status::condition;
use crate::text::{Cell, Table};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin at this component; unset, at all that nobody depends on.
    name: Option<String>,
    /// Show what depends on it, not what it depends on.
    #[arg(long)]
    dependents: bool,
}

/// # Errors
///
/// When there is no component of that name, besides what every command may meet.
pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let answer = session.client.get("/control/lifecycle").await?;
    let snapshot: Snapshot = answer.document()?;
    let tree = Tree::new(&snapshot, args.dependents);
    let roots = match &args.name {
        Some(name) => vec![tree.find(name)?],
        None => tree.roots(),
    };
    session
        .screen
        .show(&answer, || tree.page(&roots, &session.screen))?;
    Ok(Exit::Done)
}

struct Tree<'a> {
    components: BTreeMap<&'a str, &'a Component>,
    /// What is drawn below each component, and what is said of the edge.
    below: BTreeMap<&'a str, Vec<(&'a str, String)>>,
}

impl<'a> Tree<'a> {
    fn new(snapshot: &'a Snapshot, dependents: bool) -> Self {
        let all = snapshot.components.iter();
        let mut below: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for component in &snapshot.components {
            for edge in &component.dependencies {
                let kind = match &edge.on_loss {
                    Some(on_loss) => format!("{}, {on_loss}", edge.edge),
                    None => edge.edge.clone(),
                };
                let (above, under) = match dependents {
                    false => (component.name.as_str(), edge.component.as_str()),
                    true => (edge.component.as_str(), component.name.as_str()),
                };
                below.entry(above).or_default().push((under, kind));
            }
        }
        Self {
            components: all.map(|it| (it.name.as_str(), it)).collect(),
            below,
        }
    }

    fn find(&self, name: &str) -> Result<&'a str, Failure> {
        let mut names = self.components.keys();
        let found = names.find(|it| it.eq_ignore_ascii_case(name)).copied();
        found.ok_or_else(|| {
            let remedy = "`lifecyclectl tree` lists the names";
            Failure::new(
                Exit::NotFound,
                format!("there is no component {name:?}"),
                remedy,
            )
        })
    }

    /// What is below nobody, the deepest first: it is what the rest is there for.
    fn roots(&self) -> Vec<&'a str> {
        let below: BTreeSet<_> = self.below.values().flatten().map(|(it, _)| *it).collect();
        let mut roots: Vec<_> = self.components.values().collect();
        roots.retain(|it| !below.contains(it.name.as_str()));
        roots.sort_by_key(|it| std::cmp::Reverse(it.depth));
        roots.into_iter().map(|it| it.name.as_str()).collect()
    }

    fn page(&self, roots: &[&'a str], screen: &Screen) -> String {
        let mut table = Table::titled(&["COMPONENT", "STATE", "EDGE"]);
        let mut seen = BTreeSet::new();
        // A stack, not a recursion: a chain of dependencies may be as long as there are components.
        let mut open: Vec<Branch<'_>> = roots.iter().rev().map(|it| Branch::root(it)).collect();
        while let Some(branch) = open.pop() {
            let again = !seen.insert(branch.name);
            let below = self.below.get(branch.name).map_or(&[][..], Vec::as_slice);
            table.row(self.row(&branch, again && !below.is_empty()));
            if again {
                continue;
            }
            let last = below.len().saturating_sub(1);
            let twigs = below.iter().enumerate();
            let twigs = twigs.map(|(index, (name, edge))| branch.twig(name, edge, index == last));
            open.extend(twigs.rev());
        }
        table.render(screen)
    }

    fn row(&self, branch: &Branch<'_>, above: bool) -> [Cell; 3] {
        let state = self.components.get(branch.name);
        let state = state.map_or("unknown", |it| condition(it));
        let shown = match above {
            true => format!(
                "{}{}{} (see above)",
                branch.prefix, branch.stem, branch.name
            ),
            false => format!("{}{}{}", branch.prefix, branch.stem, branch.name),
        };
        [Cell::new(shown), Cell::state(state), Cell::new(branch.edge)]
    }
}

/// One line of the tree.
struct Branch<'a> {
    name: &'a str,
    edge: &'a str,
    prefix: String,
    stem: &'static str,
}

impl<'a> Branch<'a> {
    fn root(name: &'a str) -> Self {
        Self {
            name,
            edge: "",
            prefix: String::new(),
            stem: "",
        }
    }

    fn twig(&self, name: &'a str, edge: &'a str, last: bool) -> Self {
        let rail = match self.stem {
            "" => "",
            "└─ " => "   ",
            _ => "│  ",
        };
        Self {
            name,
            edge,
            prefix: format!("{}{rail}", self.prefix),
            stem: if last { "└─ " } else { "├─ " },
        }
    }
}
