//! docs/guide.md against the examples that it shows: excerpts, commands, and what they print.

mod page;
mod paused;
mod process;

use std::time::{Duration, Instant};

use page::Page;
use process::{Ended, Process};

/// Makes a test of each example that ends by itself: it ends with the code, and prints what the guide says.
macro_rules! examples {
    ($($name:ident ends with $code:literal;)*) => {
        $(
            #[test]
            fn $name() {
                ends_as_shown(Process::of(stringify!($name)), stringify!($name), $code);
            }
        )*

        const ENDING: &[&str] = &[$(stringify!($name)),*];
    };
}

examples! {
    edges ends with 0;
    gate ends with 0;
    health ends with 0;
    isolated ends with 0;
    pipeline ends with 0;
    recovering ends with 0;
    retrying ends with 0;
    run_time ends with 0;
}

/// Those with a test of their own.
const OTHERS: &[&str] = &["hung_stop", "three_components"];

#[track_caller]
fn ends_as_shown(process: Process, example: &str, code: i32) {
    let Ended { code: ended, lines } = process.end();
    assert_eq!(ended, Some(code), "{example}: {lines:#?}");
    Page::read().assert_shows(example, &lines);
}

#[test]
fn three_components_stops_when_it_is_asked_to() {
    let mut process = Process::of("three_components");
    process.reaches("orchestrator.started");
    process.terminate();
    ends_as_shown(process, "three_components", 0);
}

#[test]
fn a_hung_stop_is_over_within_its_deadline_and_says_who_hung() {
    let mut process = Process::of("hung_stop");
    process.reaches("orchestrator.stopping");
    let asked = Instant::now();
    ends_as_shown(process, "hung_stop", 71);
    // Three seconds for the stop, one for what is left behind, one for a busy machine.
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn every_example_in_the_guide_is_run_here_and_the_other_way_round() {
    let mut shown = Page::read().examples_of(env!("CARGO_PKG_NAME"));
    shown.sort();
    let mut run = [ENDING, OTHERS].concat();
    run.sort_unstable();
    assert_eq!(shown, run);
}

#[test]
fn every_excerpt_and_every_command_of_this_crate_is_as_in_its_file() {
    let page = Page::read();
    page.assert_excerpts_of(env!("CARGO_PKG_NAME"));
    page.assert_commands_of(env!("CARGO_PKG_NAME"));
}

/// Whose tests compare the guide with their files.
const COMPARED: &[&str] = &["lifecycle-runtime", "lifecycle-adapters"];

#[test]
fn nothing_in_the_guide_is_compared_with_nothing() {
    for block in Page::read().blocks {
        let (line, kind) = (block.line, &*block.kind);
        match kind {
            "rust" => {
                let package = block.path().split('/').nth(1);
                let compared = package.is_some_and(|it| COMPARED.contains(&it));
                assert!(compared, "line {line}: {package:?}");
            }
            "sh" => {
                let lines = block.text.lines().count();
                assert_eq!(block.commands().count(), lines, "line {line}");
                let mut packages = block.commands().filter_map(|it| it.split(' ').nth(4));
                assert!(packages.all(|it| COMPARED.contains(&it)), "line {line}");
            }
            _ => assert_eq!(kind, "text", "line {line}"),
        }
    }
}
