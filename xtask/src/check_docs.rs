//! `check-docs`: holds the pages that say what is proved against the tests that prove it.
//!
//! A page that names its evidence is wrong after the first renamed test, and nobody notices. So a
//! test says by its name which row it belongs to (`museum_07_…`, `contract_b14_…`,
//! `contract_20_and_21_…`), `--write` puts the names into the tables, and the check fails when
//! the two differ in either direction. Links, paths, commands of cargo and the numbers of decisions are
//! checked with it.

mod adr;
mod claim;
mod commands;
mod label;
mod ledger;
mod links;
mod markdown;
mod rule;
#[cfg(test)]
mod tests;
mod tree;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::claim::Claim;
use self::ledger::{LEDGERS, Tally};
use self::rule::Violation;
use self::tree::Tree;
use crate::process::{exit_code, root};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Put the names of the tests into the tables first; prose stays as it is
    #[arg(long)]
    write: bool,

    /// The checkout to look at; this one when absent
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,
}

/// Checks the documents and prints all violations, or what was checked.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = args.root.clone().unwrap_or_else(root);
    let mut tree = Tree::read(&root)?;
    if args.write {
        write_pages(&root, &tree)?;
        tree = Tree::read(&root)?;
    }
    let report = check(&tree);
    report.print(&mut io::stdout().lock())?;
    Ok(exit_code(report.violations.is_empty()))
}

fn write_pages(root: &Path, tree: &Tree) -> Result<()> {
    let claims = claim::all_in(tree);
    for page in LEDGERS.iter().filter_map(|it| tree.document(it.path)) {
        let filled = ledger::filled_in(page, &claims);
        if filled != page.content {
            let path = root.join(&page.path);
            fs::write(&path, filled).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn check(tree: &Tree) -> Report {
    let claims = claim::all_in(tree);
    let mut violations: Vec<_> = claims.iter().filter_map(Claim::violation).collect();
    let mut tallies = Vec::new();
    for ledger in LEDGERS {
        let (found, tally) = ledger.check(tree, &claims);
        violations.extend(found);
        tallies.push((ledger.path, tally));
    }
    let links = links::check(tree);
    violations.extend(links.violations);
    violations.extend(adr::violations(tree));
    let commands = commands::check(tree);
    violations.extend(commands.violations);
    violations.sort();
    Report {
        violations,
        tallies,
        tests: claims.len(),
        documents: tree.documents.len(),
        links: links.links,
        paths: links.paths,
        commands: commands.commands,
    }
}

/// What was found, and in how much.
#[derive(Debug)]
struct Report {
    violations: Vec<Violation>,
    tallies: Vec<(&'static str, Tally)>,
    tests: usize,
    documents: usize,
    links: usize,
    paths: usize,
    commands: usize,
}

impl Report {
    fn print(&self, out: &mut impl Write) -> Result<()> {
        for violation in &self.violations {
            writeln!(out, "{violation}")?;
        }
        for (path, tally) in &self.tallies {
            writeln!(out, "{path}: {tally}")?;
        }
        let verdict = match self.violations.len() {
            0 => "no violation".to_owned(),
            1 => "1 violation".to_owned(),
            count => format!("{count} violations"),
        };
        let Self {
            tests,
            documents,
            links,
            paths,
            commands,
            ..
        } = self;
        writeln!(
            out,
            "check-docs: {verdict}; checked documents: {documents}, links: {links}, paths: {paths}, \
             commands of cargo: {commands}, tests that own a row: {tests}"
        )?;
        Ok(())
    }
}
