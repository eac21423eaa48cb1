//! [`Page`]: a page whose commands are run, and [`Play`]: those of one of its sections, one after the other.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::{fs, panic};

use crate::golden;
use crate::process::Process;
use crate::runbook::RUNBOOK;
use crate::shell::{Outcome, Shell};
use crate::transcript::says_the_same;

/// A page of the documents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    path: &'static str,
    /// Whether blocks of `console` are among its commands.
    has_consoles: bool,
}

/// A test for each section with commands, and the list of them: `SECTIONS`.
macro_rules! sections {
    ($page:expr; $($scene:ident: $heading:literal,)*) => {
        $(
            #[test]
            fn $scene() {
                $crate::page::Play::through($page, $heading, scenes::$scene);
            }
        )*

        pub(super) const SECTIONS: &[&str] = &[$($heading),*];
    };
}
pub(crate) use sections;

/// A command of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The section that it is in.
    pub(crate) heading: String,
    /// As it is run: lines that go on are one.
    pub(crate) command: String,
    /// As it is written, with what it prints.
    text: String,
    /// What it prints; in a block of `sh` it is not said.
    printed: Option<String>,
}

impl Page {
    /// A page, by its path from the root.
    pub(crate) const fn of(path: &'static str) -> Self {
        Self {
            path,
            has_consoles: true,
        }
    }

    /// The same, but for its blocks of `console`: they are what tests of another crate have seen.
    pub(crate) const fn without_consoles(path: &'static str) -> Self {
        Self {
            path,
            has_consoles: false,
        }
    }

    /// All commands of the page, in order: the lines of its blocks of `sh`, those of its blocks of `console` that begin with a
    /// prompt, for each block of `toml` that begins with the name of a file as a comment, one that writes it, and for each of
    /// `python` one that runs it.
    pub(crate) fn commands(self) -> Vec<Listed> {
        let page = fs::read_to_string(self.path()).expect("there is such a page");
        let mut commands = read(&page);
        commands.retain(|it| self.has_consoles || it.printed.is_none());
        commands
    }

    /// Fails the test when there are other sections with commands than these.
    #[track_caller]
    pub(crate) fn has_only(self, sections: &[&str]) {
        let commands = self.commands().into_iter();
        let with_commands: BTreeSet<_> = commands.map(|it| it.heading).collect();
        let played: BTreeSet<_> = sections.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(with_commands, played);
    }

    /// Its path from the root.
    pub(crate) const fn name(self) -> &'static str {
        self.path
    }

    fn path(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(self.path)
    }
}

impl Listed {
    /// What hands a document to `program`, as far as its first lines; more are added, and then what ends it.
    fn document(heading: &str, program: &str, name: &str, lines: &str) -> Self {
        Self {
            heading: heading.to_owned(),
            command: format!("{program} <<'END-OF-{name}'\n{lines}"),
            text: String::new(),
            printed: None,
        }
    }

    /// Puts what was printed into the page.
    fn write(&self, page: Page, expected: &str, printed: &str) {
        let path = page.path();
        let page = fs::read_to_string(&path).expect("it was read");
        let section = match self.heading.as_str() {
            // Before the first one.
            "" => Some(0),
            heading => page.find(&format!("## {heading}\n")),
        };
        let section = section.expect("it was found");
        // The same command may be there with more below it.
        let ends = ["```", "$ "].map(|end| format!("{}{end}", self.text));
        let places = ends.iter().filter_map(|it| page[section..].find(it));
        let begin = section + places.min().expect("it was found");
        let end = begin + self.text.len();
        let begin = end - expected.len();
        let page = format!("{}{printed}{}", &page[..begin], &page[end..]);
        fs::write(path, page).expect("it is written");
    }
}

fn read(page: &str) -> Vec<Listed> {
    let mut commands: Vec<Listed> = Vec::new();
    let (mut heading, mut block) = (String::new(), None);
    let (mut goes_on, mut document) = (false, None);
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            if let Some(name) = document.take() {
                let last: &mut Listed = commands.last_mut().expect("it has begun");
                last.command.push_str(&format!("END-OF-{name}"));
            }
            block = block.is_none().then_some(language);
            goes_on = false;
            if block == Some("python") {
                commands.push(Listed::document(&heading, "python3 -", "python", ""));
                document = Some("python");
            }
            continue;
        }
        if document.is_some() {
            let last = commands.last_mut().expect("it has begun");
            last.command.push_str(&format!("{line}\n"));
            continue;
        }
        let begins = match block {
            Some("sh") => Some(line),
            Some("console") => line.strip_prefix("$ "),
            Some("toml") => {
                document = line.strip_prefix("# ").filter(|it| it.ends_with(".toml"));
                match document {
                    Some(name) => {
                        let (writes, line) = (format!("cat > {name}"), format!("{line}\n"));
                        commands.push(Listed::document(&heading, &writes, name, &line));
                    }
                    // A piece of a file.
                    None => block = Some("text"),
                }
                continue;
            }
            Some(_) => continue,
            None => {
                if let Some(title) = line.strip_prefix("## ") {
                    title.clone_into(&mut heading);
                }
                continue;
            }
        };
        let (part, ends) = match line.strip_suffix('\\') {
            Some(part) => (part, false),
            None => (line, true),
        };
        match (commands.last_mut().filter(|_| goes_on), begins) {
            (Some(last), _) => {
                last.command.push_str(part.trim_start());
                last.text.push_str(&format!("{line}\n"));
            }
            (None, Some(begin)) => commands.push(Listed {
                heading: heading.clone(),
                command: begin.trim_end_matches('\\').to_owned(),
                text: format!("{line}\n"),
                printed: (block == Some("console")).then(String::new),
            }),
            (None, None) => {
                let last = commands.last_mut().expect("a block begins with a command");
                last.text.push_str(&format!("{line}\n"));
                let printed = last.printed.as_mut().expect("it is in a block of its own");
                printed.push_str(&format!("{line}\n"));
                continue;
            }
        }
        goes_on = !ends;
    }
    commands
}

/// The commands of one section, while they are run.
pub(crate) struct Play {
    page: Page,
    heading: &'static str,
    left: VecDeque<Listed>,
}

impl Play {
    /// Runs the commands of the section as `scene` does, which must run all.
    pub(crate) fn through(page: Page, heading: &'static str, scene: fn(&mut Self)) {
        let mut commands = page.commands();
        commands.retain(|it| it.heading == heading);
        assert!(
            !commands.is_empty(),
            "the section {heading:?} has no command"
        );
        let mut play = Self {
            page,
            heading,
            left: commands.into(),
        };
        scene(&mut play);
        let left: Vec<_> = play.left.iter().map(|it| &it.command).collect();
        assert!(left.is_empty(), "nobody has run {left:#?} of {heading:?}");
    }

    /// The next command, which the scene runs in a way of its own.
    #[track_caller]
    pub(crate) fn take(&mut self) -> Listed {
        let heading = self.heading;
        let next = self.left.pop_front();
        next.unwrap_or_else(|| panic!("{heading:?} has no further command"))
    }

    /// Begins the next command, which goes on until it is interrupted.
    #[track_caller]
    pub(crate) fn begin(&mut self, shell: &Shell) -> Process {
        shell.begin(&self.take().command)
    }

    /// Leaves the next command to `xtask`: it builds or measures for minutes, and `check-docs` holds it against what cargo takes.
    #[track_caller]
    pub(crate) fn leave_to_xtask(&mut self) {
        let command = self.take().command;
        assert!(command.starts_with("cargo xtask "), "{command}");
    }

    /// Runs the next command, and compares what it prints with the page.
    #[track_caller]
    pub(crate) fn next(&mut self, shell: &Shell) -> Outcome {
        let (heading, listed) = (self.heading, self.take());
        let outcome = shell.run(&listed.command);
        let Some(expected) = &listed.printed else {
            return outcome.ended(0);
        };
        let page = outcome.page();
        if !says_the_same(expected, &page) {
            assert!(
                golden::writes(),
                "{heading:?}: `{}` prints\n{page}\n-- and the page has\n{expected}",
                listed.command
            );
            listed.write(self.page, expected, &page);
        }
        outcome
    }

    /// Runs so many.
    #[track_caller]
    pub(crate) fn several(&mut self, count: usize, shell: &Shell) {
        for _ in 0..count {
            self.next(shell);
        }
    }
}

#[test]
fn a_command_is_a_line_of_its_block_or_several_that_go_on_or_a_file() {
    let page = "## One\n\n```sh\na b\nc \\\n    d\n```\n\ntext\n\n```toml\n# f.toml\n[g]\n```\n\n```toml\n[h]\n# i.toml\n```\n\n## Two\n\n```console\n$ e \\\n    f\nsays\nmuch\n$ g\n```\n\n```\n$ h\n```\n\n```python\ni(\n)\n```\n";
    let read = read(page);
    let commands: Vec<_> = read
        .iter()
        .map(|it| {
            (
                it.heading.as_str(),
                it.command.as_str(),
                it.printed.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        commands,
        [
            ("One", "a b", None),
            ("One", "c d", None),
            (
                "One",
                "cat > f.toml <<'END-OF-f.toml'\n# f.toml\n[g]\nEND-OF-f.toml",
                None
            ),
            ("Two", "e f", Some("says\nmuch\n")),
            ("Two", "g", Some("")),
            (
                "Two",
                "python3 - <<'END-OF-python'\ni(\n)\nEND-OF-python",
                None
            ),
        ]
    );
    assert_eq!(read[3].text, "$ e \\\n    f\nsays\nmuch\n");
}

#[test]
fn a_section_is_refused_when_a_command_of_it_was_not_run() {
    let heading = "Who did what";
    let played = panic::catch_unwind(|| Play::through(RUNBOOK, heading, |_| {}));
    assert!(played.is_err());
}
