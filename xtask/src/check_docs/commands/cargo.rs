//! What of cargo's own command line the documents use.

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
pub(crate) enum Cargo {
    Bench(Selection),
    Build(Selection),
    Run(Selection),
    Test(Selection),
    #[command(subcommand)]
    Nextest(Nextest),
    // Named without anything behind them.
    Deny,
    Fuzz,
    Metadata,
    Mutants,
    Tree,
}

/// Packages, their targets, and how they are built.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Selection {
    #[arg(short, long)]
    pub(crate) package: Vec<String>,
    #[arg(long)]
    pub(crate) bin: Vec<String>,
    #[arg(long)]
    pub(crate) example: Vec<String>,
    #[arg(long)]
    pub(crate) test: Vec<String>,
    #[arg(long)]
    pub(crate) bench: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub(crate) features: Vec<String>,
    #[arg(long)]
    pub(crate) profile: Option<String>,
    #[arg(long)]
    all_features: bool,
    #[arg(long)]
    bins: bool,
    #[arg(long, conflicts_with = "profile")]
    release: bool,
    #[arg(short, long)]
    quiet: bool,
    /// Tests of these names.
    pub(crate) filters: Vec<String>,
    /// Those of the program that is run.
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Nextest {
    Run(NextestRun),
}

#[derive(Debug, Args)]
pub(crate) struct NextestRun {
    #[arg(short, long)]
    package: Vec<String>,
    #[arg(long)]
    cargo_profile: Option<String>,
    #[arg(long)]
    all_features: bool,
    #[arg(long)]
    no_capture: bool,
    #[arg(long)]
    stress_count: Option<u32>,
    /// `binary(NAME)` or `test(NAME)`.
    #[arg(short = 'E', long, value_parser = expression)]
    filterset: Option<Filter>,
    filters: Vec<String>,
}

#[derive(Clone, Debug)]
enum Filter {
    Binary(String),
    Test(String),
}

/// # Errors
///
/// An expression that no document has had yet.
fn expression(text: &str) -> Result<Filter, String> {
    let (kind, rest) = text.split_once('(').unwrap_or((text, ""));
    let name = rest.strip_suffix(')').unwrap_or_default().to_owned();
    match kind {
        "binary" => Ok(Filter::Binary(name)),
        "test" => Ok(Filter::Test(name)),
        _ => Err(format!("nobody knows `{kind}`")),
    }
}

impl NextestRun {
    /// The same in cargo's words.
    pub(crate) fn selection(self) -> Selection {
        let mut selection = Selection {
            package: self.package,
            profile: self.cargo_profile,
            filters: self.filters,
            ..Selection::default()
        };
        match self.filterset {
            Some(Filter::Binary(name)) => selection.test.push(name),
            Some(Filter::Test(name)) => selection.filters.push(name),
            None => {}
        }
        selection
    }
}
