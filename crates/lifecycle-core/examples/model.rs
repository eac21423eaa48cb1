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

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|it| it == flag);
    let number_after = |flag: &str| {
        let index = args.iter().position(|it| it == flag)?;
        args.get(index + 1)?.parse::<usize>().ok()
    };
    let components = if has("--full") { 4 } else { 3 };
    let (row, most) = (number_after("--row"), number_after("--most"));
    let cases = Case::all(components).filter(|it| row.is_none_or(|row| row == it.row));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let (mut states, mut deepest, mut explored_to_the_end, mut cut) = (0, 0, 0, 0);
    for case in cases {
        let name = format!("graph {} row {}", case.graph, case.row);
        let since = Instant::now();
        let explored = explore(case, threads, most);
        if has("--verbose") {
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
    ExitCode::SUCCESS
}
