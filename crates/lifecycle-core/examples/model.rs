//! Explores every interleaving of small orchestrators and prints how many states there were.
//!
//! `cargo run --release -p lifecycle-core --example model`

#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

#[path = "../tests/model/exploration.rs"]
mod exploration;

use std::process::ExitCode;
use std::time::Instant;

use exploration::{Case, explore};

/// How many components each graph has.
const COMPONENTS: usize = 3;

fn main() -> ExitCode {
    let verbose = std::env::args().skip(1).any(|it| it == "--verbose");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let mut states = 0;
    let mut deepest = 0;
    let mut cases = 0;
    for case in Case::all(COMPONENTS) {
        let name = format!("graph {} row {}", case.graph, case.row);
        let explored = explore(case, threads);
        if verbose {
            println!(
                "{name}: {} states, {} steps deep",
                explored.states, explored.depth
            );
        }
        if let Some(broken) = explored.broken {
            println!("{broken}");
            return ExitCode::FAILURE;
        }
        states += explored.states;
        deepest = deepest.max(explored.depth);
        cases += 1;
    }
    println!(
        "{cases} cases of {COMPONENTS} components, {states} states, {deepest} steps deep, {:.1} s on {threads} threads",
        began.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}
