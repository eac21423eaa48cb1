//! What docs/guide.md, or another page, shows: excerpts, commands, and what they print.

use std::path::Path;

/// The page, block by block.
pub(crate) struct Page {
    pub(crate) blocks: Vec<Block>,
}

/// One fenced block.
pub(crate) struct Block {
    /// The line of the page on which it begins.
    pub(crate) line: usize,
    /// What it is: `rust`, `sh`, `text`.
    pub(crate) kind: String,
    /// The line of prose before it.
    label: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read() -> Self {
        Self::of("docs/guide.md")
    }

    /// Another page, by its path in the workspace.
    pub(crate) fn of(path: &str) -> Self {
        let content = file(path);
        let mut blocks: Vec<Block> = Vec::new();
        let mut label = String::new();
        let mut open = false;
        for (at, line) in content.lines().enumerate() {
            if let Some(kind) = line.strip_prefix("```") {
                if !open {
                    blocks.push(Block {
                        line: at + 1,
                        kind: kind.to_owned(),
                        label: std::mem::take(&mut label),
                        text: String::new(),
                    });
                }
                open = !open;
            } else if open {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            } else if !line.trim().is_empty() {
                label = line.to_owned();
            }
        }
        assert!(!open, "the last block is not closed");
        Self { blocks }
    }

    /// The examples of `package` that it says how to run, in its order.
    pub(crate) fn examples_of(&self, package: &str) -> Vec<String> {
        let command = format!("cargo run -q -p {package} --example ");
        let lines = self.blocks.iter().flat_map(Block::commands);
        let examples = lines.filter_map(|it| it.strip_prefix(&command).map(str::to_owned));
        examples.collect()
    }

    /// What it says that `example` prints; in each line `…` stands for anything.
    pub(crate) fn output_of(&self, example: &str) -> Vec<&str> {
        let ending = format!(" --example {example}");
        let mut after = false;
        let mut output = Vec::new();
        for block in &self.blocks {
            match &*block.kind {
                "sh" => after = block.commands().any(|it| it.ends_with(&ending)),
                "text" if after => output.extend(block.text.lines()),
                _ => {}
            }
        }
        output
    }

    /// Checks that `lines` has all that the page says `example` prints, in this order.
    #[track_caller]
    pub(crate) fn assert_shows(&self, example: &str, lines: &[String]) {
        let mut rest = lines.iter();
        let output = self.output_of(example);
        assert!(
            !output.is_empty(),
            "the page does not say what {example} prints"
        );
        for shown in output {
            let found = rest.any(|it| is_like(it, shown));
            assert!(
                found,
                "{example}: no {shown:?}, at least not there: {lines:#?}"
            );
        }
    }

    /// Checks that every excerpt of a file of `package` is a run of its lines.
    #[track_caller]
    pub(crate) fn assert_excerpts_of(&self, package: &str) {
        let folder = format!("crates/{package}/");
        for block in self.blocks.iter().filter(|it| it.kind == "rust") {
            let path = block.path();
            if path.starts_with(&folder) {
                let (line, text) = (block.line, &block.text);
                assert!(
                    block.is_excerpt(&file(path)),
                    "line {line}: not in {path}:\n{text}"
                );
            }
        }
    }

    /// Checks that every command for `package` is the one with which its file opens.
    #[track_caller]
    pub(crate) fn assert_commands_of(&self, package: &str) {
        for command in self.blocks.iter().flat_map(Block::commands) {
            let words: Vec<_> = command.split(' ').collect();
            let (of, path) = match words[..] {
                ["cargo", "run", "-q", "-p", of, "--example", name] => {
                    (of, format!("examples/{name}"))
                }
                ["cargo", "test", "-q", "-p", of, "--test", test, module] => {
                    (of, format!("tests/{test}/{module}"))
                }
                _ => panic!("nobody runs {command:?}"),
            };
            if of == package {
                let file = file(&format!("crates/{package}/{path}.rs"));
                let mut opening = file.lines().take_while(|it| it.starts_with("//!"));
                let opens = opening.any(|it| it.trim_start_matches("//! ").starts_with(command));
                assert!(opens, "{path} does not open with {command:?}");
            }
        }
    }
}

impl Block {
    /// The file that is named before it.
    pub(crate) fn path(&self) -> &str {
        let path = self.label.rsplit('`').nth(1);
        path.unwrap_or_else(|| panic!("line {}: no file is named before it", self.line))
    }

    /// Whether it is a run of whole lines of `file`, at any depth.
    fn is_excerpt(&self, file: &str) -> bool {
        let file = format!("\n{file}");
        [0, 4, 8, 12].into_iter().any(|depth| {
            let indented = |line: &str| match line {
                "" => "\n".to_owned(),
                _ => format!("{:depth$}{line}\n", ""),
            };
            let excerpt: String = self.text.lines().map(indented).collect();
            file.contains(&format!("\n{excerpt}"))
        })
    }

    /// The commands of cargo in it, without comments and what follows a semicolon.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().filter(|_| self.kind == "sh");
        lines
            .map(|it| it.split([';', '#']).next().unwrap_or_default().trim())
            .filter(|it| it.starts_with("cargo "))
    }
}

/// Whether `line` is what `pattern` says, where `…` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

/// A file of the workspace.
fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let file = std::fs::read_to_string(root.unwrap().join(path));
    file.unwrap_or_else(|it| panic!("{path}: {it}"))
}
