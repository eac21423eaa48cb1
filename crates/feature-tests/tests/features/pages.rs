//! Every page: each command in it is run by a player, seen by another test, or one of cargo, which `xtask` holds against what
//! cargo takes.

mod control_plane_host;
mod deployment;
mod dispatcher;
mod leadership;
mod lifecyclectl;
mod readme;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::page::Page;
use crate::process::fixed_port;
use crate::quickstart;
use crate::runbook;
use crate::shell::Shell;

/// By whom the commands of a page are held.
enum Held {
    /// By its player, which runs those of these sections.
    Played(Page, &'static [&'static str]),
    /// By the tests in this file, which compare them with the examples that they run.
    SeenBy(&'static str),
    /// By `check-docs` of xtask: all of them are of cargo.
    OfCargo,
}

/// The pages with commands.
const PAGES: &[(&str, Held)] = &[
    ("README.md", Held::Played(readme::PAGE, readme::SECTIONS)),
    (
        "docs/control-plane-host.md",
        Held::Played(control_plane_host::PAGE, control_plane_host::SECTIONS),
    ),
    (
        "docs/deployment.md",
        Held::Played(deployment::PAGE, deployment::SECTIONS),
    ),
    (
        "docs/dispatcher.md",
        Held::Played(dispatcher::PAGE, dispatcher::SECTIONS),
    ),
    (
        "docs/guide.md",
        Held::SeenBy("crates/lifecycle-runtime/tests/guide/page.rs"),
    ),
    (
        "docs/leadership.md",
        Held::Played(leadership::PAGE, leadership::SECTIONS),
    ),
    (
        "docs/lifecyclectl.md",
        Held::Played(lifecyclectl::PAGE, lifecyclectl::SECTIONS),
    ),
    (
        "docs/operations.md",
        Held::Played(runbook::RUNBOOK, runbook::SECTIONS),
    ),
    ("docs/performance.md", Held::OfCargo),
    (
        "docs/quickstart.md",
        Held::Played(quickstart::QUICKSTART, quickstart::SECTIONS),
    ),
    ("docs/testing.md", Held::OfCargo),
    ("docs/verification.md", Held::OfCargo),
    (
        "docs/wiring.md",
        Held::SeenBy("crates/dispatcher/tests/pages.rs"),
    ),
];

/// Commands in pages of cargo that are not of cargo: the page, the command, and why nobody runs it.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "docs/performance.md",
        "apt-get install nginx haproxy nghttp2-client    # once, on Debian",
        "changes the machine, and wants its administrator; each package is one that relay-cost asks for by name",
    ),
    (
        "docs/performance.md",
        "apt-get install cmake          # once, on Debian: one of the peers is in part C",
        "changes the machine, and wants its administrator; bench asks for it by name",
    ),
];

/// What the consoles of the command line's page are compared with.
const SEEN_CONSOLES: (&str, &str) = (
    "docs/lifecyclectl.md",
    "crates/lifecyclectl/tests/ctl/page.rs",
);

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn text_of(path: &str) -> String {
    let text = fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages of the checkout, by their paths.
fn pages() -> BTreeSet<String> {
    let mut pages = BTreeSet::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is there").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            // What is built, what git keeps, and what xtask breaks on purpose.
            let is_ours = !["target", ".git", "fixtures"].iter().any(|it| name == **it);
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                folders.extend(is_ours.then_some(path));
            } else if path.extension().is_some_and(|it| it == "md") {
                let path = path.strip_prefix(root()).expect("it is below");
                pages.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    pages
}

/// The blocks of a page that are for a shell: whether each begins its line, and its lines.
fn shell_blocks(page: &str) -> Vec<(bool, Vec<&str>)> {
    let mut blocks: Vec<(bool, Vec<&str>)> = Vec::new();
    let mut open = None;
    for line in page.lines() {
        let fence = line.trim_start_matches([' ', '>']);
        let marks = ["```", "~~~"];
        if let Some(kind) = marks.iter().find_map(|it| fence.strip_prefix(it)) {
            let kind = kind.split([' ', ',', '{']).next().unwrap_or_default();
            let shells = ["sh", "bash", "shell", "zsh", "console", "shell-session"];
            let begins = open.is_none() && shells.contains(&kind);
            let is_plain = line.strip_prefix("```").is_some_and(|it| it == kind);
            if begins {
                blocks.push((is_plain && matches!(kind, "sh" | "console"), Vec::new()));
            }
            open = open.is_none().then_some(begins);
        } else if open == Some(true) {
            let (_, lines) = blocks.last_mut().expect("it has begun");
            lines.push(line);
        }
    }
    blocks
}

#[test]
fn contract_b28_every_page_with_commands_has_who_holds_them_and_no_other_is_listed() {
    let all = pages();
    let with_commands = all
        .iter()
        .filter(|it| !shell_blocks(&text_of(it)).is_empty());
    let with_commands: Vec<_> = with_commands.map(String::as_str).collect();
    let listed: Vec<_> = PAGES.iter().map(|(page, _)| *page).collect();
    assert_eq!(with_commands, listed);
    for page in listed {
        let readable = shell_blocks(&text_of(page)).iter().all(|(it, _)| *it);
        assert!(readable, "{page} has a block that no player reads");
    }
}

#[test]
fn contract_b28_every_section_with_commands_of_every_page_that_is_played_is_played() {
    for (name, held) in PAGES {
        if let Held::Played(page, sections) = held {
            assert_eq!(page.name(), *name);
            page.has_only(sections);
        }
    }
}

#[test]
fn contract_b28_commands_that_are_not_played_are_of_cargo_or_seen_by_the_test_that_is_named() {
    let mut not_run = BTreeSet::new();
    for (page, held) in PAGES {
        let text = text_of(page);
        let commands = shell_blocks(&text).into_iter().flat_map(|(_, it)| it);
        match held {
            Held::Played(..) => {}
            Held::SeenBy(test) => {
                let reader = text_of(test);
                assert!(reader.contains(page), "{test} does not read {page}");
                let others: Vec<_> = commands.filter(|it| !it.starts_with("cargo ")).collect();
                assert!(others.is_empty(), "{test} sees none of {others:?}");
            }
            Held::OfCargo => not_run.extend(
                commands
                    .filter(|it| !is_of_cargo(it))
                    .map(|it| (*page, it.to_owned())),
            ),
        }
    }
    let listed = NOT_RUN
        .iter()
        .map(|(page, command, _)| (*page, (*command).to_owned()));
    assert_eq!(not_run, listed.collect());
    assert!(NOT_RUN.iter().all(|(_, _, why)| !why.is_empty()));
    let (page, test) = SEEN_CONSOLES;
    assert!(text_of(test).contains(page), "{test} does not read {page}");
}

/// Whether a line is a command of cargo, behind variables that are set for it.
fn is_of_cargo(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let program = words.find(|it| !is_variable(it));
    program == Some("cargo")
}

fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|it| it.bytes().all(|it| it.is_ascii_uppercase() || it == b'_'))
}

#[test]
fn what_the_measurement_of_relays_is_said_to_need_is_what_it_asks_for() {
    let (_, command, _) = NOT_RUN[0];
    let command = command.split('#').next().unwrap_or_default();
    let packages = command.split_whitespace().skip(2);
    let sources = ["load.rs", "relays.rs", "processes.rs"];
    let sources = sources.map(|it| text_of(&format!("xtask/src/relay_cost/{it}")));
    for package in packages {
        let asked = format!("\"{package}\")");
        let named = sources.iter().any(|it| it.contains(&asked));
        assert!(named, "relay-cost does not ask for {package}");
    }
}

#[test]
fn a_block_is_seen_wherever_it_stands_and_one_that_no_player_reads_is_told() {
    let page =
        "```sh\na\n```\n\n- x\n  ```bash\n  b\n  ```\n\n```rust\n```\n\n~~~console\n$ c\n~~~\n";
    let blocks = shell_blocks(page);
    let lines: Vec<_> = blocks.iter().map(|(it, lines)| (*it, &lines[..])).collect();
    assert_eq!(
        lines,
        [(true, &["a"][..]), (false, &["  b"]), (false, &["$ c"])]
    );
    assert!(is_of_cargo("A_B=c cargo d") && is_of_cargo("cargo d"));
    assert!(!is_of_cargo("a cargo") && !is_of_cargo("a=b cargo"));
}

/// A machine where nothing runs, with free ports for hosts that have the default ones, which commands go on to name; what is
/// built already stands for what cargo would build.
fn machine() -> Shell {
    let free = || format!("127.0.0.1:{}", fixed_port());
    let [plane, http, gossip] = [free(), free(), free()];
    let [calls, grpc, diagnostics] = [free(), free(), free()];
    let mut shell = Shell::alone()
        .stands_for("127.0.0.1:8080", &calls)
        .stands_for("127.0.0.1:9090", &grpc)
        .variable("CONTROL_PLANE_HOST__DIAGNOSTICS__ADDRESS", &plane)
        .variable("CONTROL_PLANE_HOST__HTTP__ADDRESS", &http)
        .variable("CONTROL_PLANE_HOST__GOSSIP__BIND", &gossip)
        .variable("DISPATCHER__HTTP_INBOUNDS__0__ADDRESS", &calls)
        .variable("DISPATCHER__GRPC_INBOUNDS__0__ADDRESS", &grpc)
        .variable("DISPATCHER__DIAGNOSTICS__ADDRESS", &diagnostics)
        .variable("LIFECYCLECTL_ENDPOINT", &plane);
    shell.stand_in("cargo", include_str!("pages/cargo.sh"));
    shell
}

#[test]
fn what_stands_for_cargo_runs_a_program_and_nothing_else() {
    let shell = machine();
    let run = shell.run("cargo run --release --bin lifecyclectl -- --version");
    run.ended(0).says("lifecyclectl ");
    shell.run("cargo xtask ci").ended(64);
    shell.run("cargo run --example x").ended(64);
}
