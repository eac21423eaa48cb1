//! Commands of cargo in the documents: each is one that cargo takes here, down to the names of packages, targets, features,
//! profiles and tests; and those of `cargo xtask` are parsed by its own command line.
//!
//! They build, measure or check for minutes, so that no test can run them. What is not of cargo is run by the feature tests.

mod cargo;
mod workspace;

use clap::Parser as _;

use self::cargo::{Cargo, Nextest, Selection};
use self::workspace::Workspace;
use crate::check_docs::markdown::code_spans;
use crate::check_docs::rule::{Rule, Violation};
use crate::check_docs::tree::Tree;

/// What was found, and in how much.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) violations: Vec<Violation>,
    pub(crate) commands: usize,
}

/// Holds every command of cargo in every document against what is there.
pub(crate) fn check(tree: &Tree) -> Commands {
    let workspace = Workspace::of(tree);
    let mut found = Commands::default();
    for page in &tree.documents {
        for (line, command) in commands_in(&page.content) {
            found.commands += 1;
            if let Err(fault) = fault_of(&command, &workspace) {
                let what = format!("`{command}`: {fault}");
                let violation = Violation::new(Rule::CommandUnknown, &page.path, line, what);
                found.violations.push(violation);
            }
        }
    }
    found
}

/// The commands of cargo on a page, with their lines: those that a line of a block begins with, behind a prompt or variables, and
/// those between backticks.
fn commands_in(page: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let (mut kind, mut goes_on) = (None, false);
    for (at, line) in page.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            kind = kind.is_none().then_some(language);
            goes_on = false;
            continue;
        }
        match kind {
            None => {
                let spans = code_spans(line).filter(|it| it.starts_with("cargo "));
                commands.extend(spans.map(|it| (at + 1, it.to_owned())));
            }
            // Prose and code in another language.
            Some("rust") => {}
            Some(_) => {
                let (part, ends) = match line.strip_suffix('\\') {
                    Some(part) => (part, false),
                    None => (line, true),
                };
                if goes_on {
                    let last: &mut (usize, String) = commands.last_mut().expect("it goes on");
                    last.1.push_str(part.trim_start());
                } else if let Some(command) = command_of(part) {
                    commands.push((at + 1, command.to_owned()));
                } else {
                    continue;
                }
                goes_on = !ends;
            }
        }
    }
    commands
}

/// The command of cargo that a line of a block begins with.
fn command_of(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("$ ");
    let at = line.find("cargo ")?;
    let only_variables = line[..at].split_whitespace().all(|it| it.contains('='));
    only_variables.then(|| &line[at..])
}

/// The words of a command as a shell has them, without what follows it on the line.
fn words_of(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in command.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.extend(Some(std::mem::take(&mut word))),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|it| !it.is_empty());
    let ends = |it: &String| it.starts_with('#') || matches!(it.as_str(), "&&" | "|" | ">" | ";");
    let end = words.iter().position(ends).unwrap_or(words.len());
    let ended = words[..end].iter().position(|it| it.ends_with(';'));
    words.truncate(ended.map_or(end, |it| it + 1));
    if let Some(last) = words.last_mut() {
        *last = last.trim_end_matches(';').to_owned();
    }
    words
}

/// What is wrong with a command.
fn fault_of(command: &str, workspace: &Workspace) -> Result<(), String> {
    let words = words_of(command);
    let first = |error: clap::Error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let Some((xtask, rest)) = words[1..].split_first().filter(|(it, _)| *it == "xtask") else {
        return match Cargo::try_parse_from(&words[1..]).map_err(first)? {
            Cargo::Bench(selection) | Cargo::Build(selection) | Cargo::Run(selection) => {
                workspace.has(&selection)
            }
            Cargo::Test(selection) => workspace.has(&selection),
            Cargo::Nextest(Nextest::Run(it)) => workspace.has(&it.selection()),
            Cargo::Deny | Cargo::Fuzz | Cargo::Metadata | Cargo::Mutants | Cargo::Tree => Ok(()),
        };
    };
    let words = std::iter::once(xtask).chain(rest);
    crate::Cli::try_parse_from(words).map_err(first).map(drop)
}

impl Workspace<'_> {
    /// Looks for everything that is named.
    fn has(&self, selection: &Selection) -> Result<(), String> {
        let named = |what: &str, name: &str, is_there: bool| match is_there {
            true => Ok(()),
            false => Err(format!("there is no {what} `{name}`")),
        };
        let packages = &selection.package;
        for name in packages {
            named("package", name, self.has_package(name))?;
        }
        let kinds = [
            ("program", &selection.bin),
            ("example", &selection.example),
            ("test", &selection.test),
            ("bench", &selection.bench),
        ];
        for (what, names) in kinds {
            for name in names {
                named(what, name, self.has_target(what, packages, name))?;
            }
        }
        for name in &selection.features {
            named("feature", name, self.has_feature(packages, name))?;
        }
        for name in selection.profile.iter() {
            named("profile", name, self.has_profile(name))?;
        }
        for name in &selection.filters {
            named("test", name, self.has_test(packages, name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with one package of everything.
    fn workspace() -> Tree {
        let mut tree = Tree::default();
        for (path, content) in [
            ("Cargo.toml", "[profile.ci]\n"),
            (
                "crates/a/Cargo.toml",
                "[package]\nname = 'a'\n[features]\nf = []\n[[bin]]\nname = 'b'\n",
            ),
            ("crates/a/src/main.rs", ""),
            ("crates/a/examples/e.rs", ""),
            ("crates/a/benches/n.rs", ""),
            ("crates/a/tests/t/main.rs", "mod m;\n"),
            (
                "crates/a/tests/t/m.rs",
                "#[test]\nfn something_holds() {}\n",
            ),
        ] {
            tree.add(path.to_owned(), content.to_owned());
        }
        tree
    }

    fn fault(command: &str) -> Result<(), String> {
        fault_of(command, &Workspace::of(&workspace()))
    }

    #[test]
    fn what_cargo_and_xtask_take_is_good() {
        for command in [
            "cargo run --release --bin b -- --any flag   # why",
            "cargo run -q -p a --example e; echo $?",
            "cargo build --profile ci --features a/f -p a && x",
            "cargo build --all-features --bins",
            "cargo bench -p a --bench n",
            "cargo test -q -p a --test t m",
            "cargo nextest run --cargo-profile ci -p a something",
            "cargo nextest run -p a --no-capture -E 'binary(t)'",
            "cargo nextest run --stress-count 50 -E 'test(NAME)'",
            "cargo xtask soak --minutes 10 --seed 7",
            "cargo xtask fuzz --target headers --input FILE",
        ] {
            assert_eq!(fault(command), Ok(()), "{command}");
        }
    }

    #[test]
    fn a_name_or_a_flag_that_is_not_there_is_told() {
        for (command, told) in [
            ("cargo run -p z", "no package `z`"),
            ("cargo run --bin z", "no program `z`"),
            ("cargo run -p a --example z", "no example `z`"),
            ("cargo bench -p a --bench z", "no bench `z`"),
            ("cargo test -p a --test z", "no test `z`"),
            ("cargo test -p a nothing_holds", "no test `nothing_holds`"),
            ("cargo build -p a --features z", "no feature `z`"),
            ("cargo build --features z/f", "no feature `z/f`"),
            ("cargo build --profile z", "no profile `z`"),
            ("cargo nextest run -E 'binary(z)'", "no test `z`"),
            ("cargo nextest run --cargo-profile z", "no profile `z`"),
            ("cargo run --frobnicate", "--frobnicate"),
            ("cargo frobnicate", "frobnicate"),
            ("cargo xtask frobnicate", "frobnicate"),
            ("cargo xtask soak --hours 1", "--hours"),
            ("cargo xtask fuzz --target z", "'z'"),
        ] {
            let said = fault(command).expect_err(command);
            assert!(said.contains(told), "{command}: {said}");
        }
    }

    #[test]
    fn commands_are_found_in_blocks_and_between_backticks() {
        let page = "`cargo a`, `b`\n```sh\nA=b cargo c \\\n    d\ncd e\n$ cargo f\n```\n\n```rust\ncargo g\n```\n";
        let found = commands_in(page);
        let found: Vec<_> = found.iter().map(|(at, it)| (*at, it.as_str())).collect();
        assert_eq!(found, [(1, "cargo a"), (3, "cargo c d"), (6, "cargo f")]);
    }
}
