//! docs/wiring.md against what it shows: excerpts, a command, and what that prints.

#[path = "../../lifecycle-runtime/tests/guide/page.rs"]
#[expect(dead_code, reason = "of the guide's other pages")]
mod page;
#[path = "../../lifecycle-runtime/tests/guide/process.rs"]
mod process;

use page::Page;
use process::{Ended, Process};

fn wiring() -> Page {
    Page::of("docs/wiring.md")
}

#[test]
fn contract_b28_what_is_wired_starts_and_stops_in_the_order_that_the_page_shows() {
    let mut process = Process::of("wired");
    process.reaches("orchestrator.started");
    process.terminate();
    let Ended { code, lines } = process.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    wiring().assert_shows("wired", &lines);
}

#[test]
fn contract_b28_every_excerpt_and_every_command_of_the_wiring_is_as_in_its_file() {
    let page = wiring();
    assert_eq!(page.examples_of(env!("CARGO_PKG_NAME")), ["wired"]);
    page.assert_commands_of(env!("CARGO_PKG_NAME"));
    let excerpts = page.blocks.iter().filter(|it| it.kind == "rust");
    let excerpts: Vec<_> = excerpts.map(page::Block::path).collect();
    let files = [
        "crates/dispatcher/examples/wired.rs",
        "crates/control-plane-host/src/host.rs",
    ];
    assert_eq!(excerpts, files);
    for package in ["dispatcher", "control-plane-host"] {
        page.assert_excerpts_of(package);
    }
}
