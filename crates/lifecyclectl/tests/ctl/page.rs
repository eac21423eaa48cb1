//! Pages that are compared with files, and with the examples of the documentation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::kit::{self, Run};
use crate::server::Server;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Runs the program and compares all that it prints with the file of that name, which fits 80 columns.
///
/// With `LIFECYCLECTL_GOLDEN=write` in the environment the file is written first: look at what has changed.
#[track_caller]
pub(crate) fn check(name: &str, server: &Server, line: &str, exit: i32) -> Run {
    let run = kit::run(server, line).ended(exit);
    let names = [(server.url(), "http://127.0.0.1:9180")];
    compare(name, line, &run, &names);
    run
}

/// Compares what a run has printed; addresses get the names that the documentation uses.
#[track_caller]
pub(crate) fn compare(name: &str, line: &str, run: &Run, names: &[(String, &str)]) {
    let code = match run.exit {
        Some(0) => String::new(),
        code => format!("(exit code {})\n", code.unwrap_or(-1)),
    };
    let page = format!("$ lifecyclectl {line}\n{}{}{code}", run.stdout, run.stderr);
    let rename = |page: String, (address, name): &(String, &str)| page.replace(address, name);
    let page = names.iter().fold(page, rename);
    let file = folder().join(format!("{name}.txt"));
    if env::var("LIFECYCLECTL_GOLDEN").is_ok_and(|it| it == "write") {
        fs::write(&file, &page).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(page, expected, "{} differs", file.display());
    for line in page.lines().skip(1) {
        assert!(line.chars().count() <= 80, "more than 80 columns: {line}");
    }
}

#[test]
fn every_example_of_the_documentation_is_what_a_test_has_seen() {
    let files = fs::read_dir(folder()).unwrap();
    let files = files.map(|it| fs::read_to_string(it.unwrap().path()).unwrap());
    let seen: BTreeSet<_> = files.collect();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lifecyclectl.md");
    let document = fs::read_to_string(document).unwrap();
    let mut examples = Vec::new();
    let mut rest = document.as_str();
    while let Some((_, example)) = rest.split_once("```console\n") {
        let (example, after) = example.split_once("```").unwrap();
        assert!(seen.contains(example), "no test has seen\n{example}");
        examples.push(example);
        rest = after;
    }
    for verb in commands_in(&help_of(&[])) {
        let shown = examples
            .iter()
            .any(|it| it.starts_with(&format!("$ lifecyclectl {verb}")));
        let named = document.contains(&format!("`{verb}"));
        assert!(shown || named, "the documentation has nothing of {verb}");
    }
    assert!(examples.len() >= 20, "{} examples", examples.len());
}

/// The commands that a help names.
fn commands_in(help: &str) -> Vec<String> {
    let Some((_, commands)) = help.split_once("Commands:\n") else {
        return Vec::new();
    };
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let words = commands
        .lines()
        .filter(|it| it.starts_with("  ") && !it.starts_with("   "));
    let words = words.filter_map(|it| it.split_whitespace().next());
    words
        .filter(|it| *it != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_flag_of_every_command_is_in_the_documentation_and_no_other_is() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lifecyclectl.md");
    let document = fs::read_to_string(document).unwrap();
    // What cargo takes is for others to know.
    let lines = document.lines().filter(|it| !it.starts_with("cargo "));
    let told = lines.flat_map(flags_in).collect::<BTreeSet<_>>();
    let mut taken = BTreeSet::new();
    let mut left = vec![Vec::new()];
    while let Some(words) = left.pop() {
        let help = help_of(&words);
        let (_, options) = help.split_once("Options:\n").unwrap();
        // What a flag is for may name another one.
        let lines = options.lines().map(str::trim_start);
        let flags = lines.filter(|it| it.starts_with('-') || it.starts_with("[alias"));
        taken.extend(flags.flat_map(|it| flags_in(it).into_iter().take(1)));
        let deeper = commands_in(&help).into_iter();
        left.extend(deeper.map(|it| [&words[..], &[it]].concat()));
    }
    // Everybody knows these, and those are of other programs.
    for flag in ["help", "version"] {
        assert!(taken.remove(flag));
    }
    assert_eq!(told, taken);
}

/// The long flags that a text names.
fn flags_in(text: &str) -> BTreeSet<String> {
    let begins = text.split("--").skip(1);
    let words = begins.filter_map(|it| {
        let end = it.find(|it: char| !it.is_ascii_lowercase() && it != '-');
        it.get(..end.unwrap_or(it.len()))
    });
    words
        .filter(|it| it.starts_with(|it: char| it.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect()
}

fn help_of(words: &[String]) -> String {
    let help = kit::command().args(words).arg("--help").output().unwrap();
    String::from_utf8(help.stdout).unwrap()
}
