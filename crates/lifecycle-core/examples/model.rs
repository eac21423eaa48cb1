//! Explores every interleaving of small orchestrators and prints how many states there were.
//!
//! `cargo run --release -p lifecycle-core --example model`

#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

#[path = "../tests/model/exploration/mod.rs"]
mod exploration;

use std::process::ExitCode;
use std::time::Instant;

use exploration::{Case, explore};

const USAGE: &str = "usage: model [--full] [--verbose] [--row N] [--most STATES]";

/// What is to be explored.
#[derive(Default)]
struct Args {
    full: bool,
    verbose: bool,
    row: Option<usize>,
    most: Option<usize>,
}

impl Args {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--full" => args.full = true,
                "--verbose" => args.verbose = true,
                "--row" => args.row = Some(number(&word, words.next())?),
                "--most" => args.most = Some(number(&word, words.next())?),
                _ => return Err(format!("{word} is unknown")),
            }
        }
        Ok(args)
    }
}

fn number(flag: &str, value: Option<String>) -> Result<usize, String> {
    let value = value.ok_or(format!("{flag} needs a number"))?;
    value
        .parse()
        .map_err(|error| format!("{flag} {value}: {error}"))
}

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)) {
        Ok(args) => run(&args),
        Err(fault) => {
            println!("{fault}; {USAGE}");
            ExitCode::from(64)
        }
    }
}

fn run(args: &Args) -> ExitCode {
    let components = if args.full { 4 } else { 3 };
    let wanted = |case: &Case| args.row.is_none_or(|row| row == case.row);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let (mut states, mut deepest, mut explored_to_the_end, mut cut) = (0, 0, 0, 0);
    for case in Case::all(components).filter(wanted) {
        let name = format!("graph {} row {}", case.graph, case.row);
        let since = Instant::now();
        let explored = explore(case, threads, args.most);
        if args.verbose {
            println!(
                "{name}: {} states, {} steps deep, {:.1} s{}",
                explored.states,
                explored.depth,
                since.elapsed().as_secs_f64(),
                if explored.complete { "" } else { ", cut off" }
            );
        }
        if let Some(broken) = explored.broken {
            println!("{broken}");
            return ExitCode::FAILURE;
        }
        states += explored.states;
        deepest = deepest.max(explored.depth);
        explored_to_the_end += usize::from(explored.complete);
        cut += usize::from(!explored.complete);
    }
    println!(
        "{explored_to_the_end} cases of {components} components to the end, {cut} cut off, {states} states, \
         {deepest} steps deep, {:.1} s on {threads} threads",
        began.elapsed().as_secs_f64()
    );
    if explored_to_the_end + cut == 0 {
        println!("there is no such row");
        return ExitCode::from(64);
    }
    ExitCode::SUCCESS
}
