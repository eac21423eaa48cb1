//! `check-deps`: proves the layering of a workspace from its resolved dependency graph.
//!
//! A picture in a document does not keep two crates apart, and a review misses a dev-dependency
//! behind a feature. So the layers are a table ([`layers::TABLE`]), each rule has an id, and all
//! violations are found before the first is printed.

mod core_tree;
mod edges;
mod layers;
mod manifests;
#[cfg(test)]
mod page;
mod rule;
#[cfg(test)]
mod tests;
mod words;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use guppy::MetadataCommand;
use guppy::graph::{PackageGraph, PackageMetadata};

use self::core_tree::CoreTree;
use self::layers::Row;
use self::rule::{Rule, Violation};
use crate::process::{exit_code, root};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The workspace to check, by its manifest; this one when absent
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
}

/// Checks the workspace and prints all violations, or what was checked.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let own = root().join("Cargo.toml");
    let manifest = args.manifest_path.as_ref().unwrap_or(&own);
    let workspace = Workspace::load(manifest, &[])?;
    let report = workspace.check()?;
    report.print(&mut io::stdout().lock())?;
    Ok(exit_code(report.violations.is_empty()))
}

/// All that the rules look at, read once.
struct Workspace {
    graph: PackageGraph,
    manifests: Vec<Text>,
    /// What may not name everything, each with the table's row of its crate.
    sources: Vec<(&'static Row, Text)>,
}

struct Text {
    package: String,
    /// From the root of the workspace.
    path: String,
    content: String,
}

impl Workspace {
    /// Reads the graph as `Cargo.lock` has it, so that a check never changes what it checks.
    fn load(manifest: &Path, options: &[&str]) -> Result<Self> {
        let graph = MetadataCommand::new()
            .manifest_path(manifest)
            .other_options(["--locked"].iter().chain(options).copied())
            .env("RUSTUP_AUTO_INSTALL", "0")
            .build_graph()
            .with_context(|| format!("cannot resolve {}", manifest.display()))?;
        let manifests = graph
            .workspace()
            .iter()
            .map(read_manifest)
            .collect::<Result<_>>()?;
        let sources = read_sources(&graph)?;
        Ok(Self {
            graph,
            manifests,
            sources,
        })
    }

    fn check(&self) -> Result<Report> {
        let core = CoreTree::of(&self.graph)?;
        let mut violations = edges::layer_violations(&self.graph);
        violations.extend(edges::external_violations(&self.graph));
        violations.extend(core.iter().flat_map(CoreTree::violations));
        violations.extend(inheritance_violations(&self.manifests)?);
        violations.extend(word_violations(&self.sources));
        violations.extend(sequencing_violations(&self.sources));
        // Stable: lines of a file stay in their order.
        violations.sort_by(|a, b| (&a.package, a.rule).cmp(&(&b.package, b.rule)));
        let members = self.graph.workspace();
        Ok(Report {
            violations,
            members: members.member_count(),
            edges: members.iter().flat_map(|it| it.direct_links()).count(),
            core_crates: core.as_ref().map_or(0, CoreTree::crate_count),
            files: self.manifests.len() + self.sources.len(),
        })
    }
}

fn read_manifest(member: PackageMetadata<'_>) -> Result<Text> {
    read_text(member, member.manifest_path().as_std_path())
}

fn read_sources(graph: &PackageGraph) -> Result<Vec<(&'static Row, Text)>> {
    let mut sources = Vec::new();
    for member in graph.workspace().iter() {
        let Some(row) = layers::row(member.name()) else {
            continue;
        };
        if row.silent_about.is_empty() && row.leaves.is_empty() {
            continue;
        }
        for file in files_of(member)? {
            sources.push((row, read_text(member, &file)?));
        }
    }
    Ok(sources)
}

/// Every file of a crate: sources, tests, examples, documents and manifest.
fn files_of(member: PackageMetadata<'_>) -> Result<Vec<PathBuf>> {
    let manifest = member.manifest_path().as_std_path();
    let mut found = Vec::new();
    collect_files(manifest.parent().unwrap_or(manifest), &mut found)?;
    found.sort_unstable();
    Ok(found)
}

fn collect_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        let name = entry.file_name();
        let skipped = name == "target" || name.as_encoded_bytes().starts_with(b".");
        if skipped {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect_files(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// What is not text (a picture) is read as far as it is.
fn read_text(member: PackageMetadata<'_>, path: &Path) -> Result<Text> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let root = member.graph().workspace().root().as_std_path();
    Ok(Text {
        package: member.name().to_owned(),
        path: path
            .strip_prefix(root)
            .unwrap_or(path)
            .display()
            .to_string(),
        content: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

fn inheritance_violations(manifests: &[Text]) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    for manifest in manifests {
        let declared = manifests::declared_in_place(&manifest.content)
            .with_context(|| format!("cannot read {}", manifest.path))?;
        found.extend(declared.into_iter().map(|it| Violation {
            package: manifest.package.clone(),
            rule: Rule::WorkspaceInherited,
            place: format!("{}:{}: `{}`", manifest.path, it.line, it.dependency),
        }));
    }
    Ok(found)
}

fn word_violations(sources: &[(&Row, Text)]) -> Vec<Violation> {
    sources
        .iter()
        .flat_map(|(row, text)| words_in_file(row, text))
        .collect()
}

fn words_in_file(row: &Row, text: &Text) -> Vec<Violation> {
    let forbidden = row.silent_about.concat();
    let mut found = Vec::new();
    for (before, line) in text.content.lines().enumerate() {
        let words = words::named_in(line, &forbidden);
        found.extend(words.into_iter().map(|word| Violation {
            package: text.package.clone(),
            rule: Rule::ForbiddenWord,
            place: format!("{}:{}: `{word}`", text.path, before + 1),
        }));
    }
    found
}

fn sequencing_violations(sources: &[(&Row, Text)]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (row, text) in sources {
        if !text.path.contains("/src/") {
            continue;
        }
        for (before, line) in words::code_of(&text.content) {
            let named = words::named_in(line, row.leaves);
            found.extend(named.into_iter().map(|word| Violation {
                package: text.package.clone(),
                rule: Rule::Sequencing,
                place: format!(
                    "{}:{}: `{}`",
                    text.path,
                    before + 1,
                    word.replace("||", "::")
                ),
            }));
        }
    }
    found
}

/// What was found, and in how much.
#[derive(Debug)]
struct Report {
    violations: Vec<Violation>,
    members: usize,
    edges: usize,
    core_crates: usize,
    files: usize,
}

impl Report {
    fn print(&self, out: &mut impl Write) -> Result<()> {
        for violation in &self.violations {
            writeln!(out, "{violation}")?;
        }
        let verdict = match self.violations.len() {
            0 => "no violation".to_owned(),
            1 => "1 violation".to_owned(),
            count => format!("{count} violations"),
        };
        let Self {
            members,
            edges,
            core_crates,
            files,
            ..
        } = self;
        writeln!(
            out,
            "check-deps: {verdict}; checked crates: {members}, edges: {edges}, files: {files}, \
             crates that lifecycle-core builds: {core_crates}"
        )?;
        Ok(())
    }
}
