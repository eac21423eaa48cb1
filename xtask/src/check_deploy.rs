//! `check-deploy`: holds the operations kit in `deploy` against the hosts and against the tools that read it.
//!
//! A unit, a manifest or an alert that does not fit the program is found at night. So three things are
//! compared here: names of metrics and values of labels with those in the sources; deadlines in
//! configurations with those of service managers (that the host's own limits fit in there, the host
//! checks when it starts, and a test of each host starts it so); and each file with the program that reads it.

mod dashboard;
mod expression;
mod pods;
mod prometheus;
mod rule;
mod seconds;
mod source_names;
#[cfg(test)]
mod tests;
mod tools;
mod units;
mod yaml;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::rule::Violation;
use self::source_names::SourceNames;
pub(crate) use self::tools::KUBERNETES;
use crate::process::{exit_code, root};

/// The programs that run as services.
pub(crate) const HOSTS: [&str; 2] = ["control-plane-host", "dispatcher"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Compare only, without the programs that read the files
    #[arg(long)]
    no_tools: bool,
}

/// Checks the kit and prints all violations, or what was checked.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = root();
    let kit = Kit::read(&root)?;
    let names = SourceNames::read(&root)?;
    let mut violations = kit.violations(&names)?;
    if !args.no_tools {
        violations.extend(tools::violations(&root)?);
    }
    print(&violations, &kit, &names, &mut io::stdout().lock())?;
    Ok(exit_code(violations.is_empty()))
}

/// What is shipped beside the programs.
#[derive(Debug, Default)]
struct Kit {
    rules: File,
    rule_tests: File,
    dashboard: File,
    hosts: Vec<Host>,
}

/// The files of one host.
#[derive(Debug, Default)]
struct Host {
    name: String,
    unit: File,
    /// What the pods read.
    configuration: File,
    manifests: File,
}

/// A text, and where it is from the root.
#[derive(Clone, Debug, Default)]
struct File {
    path: String,
    content: String,
}

impl Kit {
    fn read(root: &Path) -> Result<Self> {
        let file = |path: &str| File::read(root, path);
        let hosts = HOSTS.iter().map(|name| {
            Ok(Host {
                name: (*name).to_owned(),
                unit: file(&format!("deploy/systemd/{name}.service"))?,
                configuration: file(&format!("deploy/kubernetes/{name}/{name}.toml"))?,
                manifests: file(&format!("deploy/kubernetes/{name}/{name}.yaml"))?,
            })
        });
        Ok(Self {
            rules: file(tools::RULES)?,
            rule_tests: file(tools::RULE_TESTS)?,
            dashboard: file("deploy/grafana/lifecycle.json")?,
            hosts: hosts.collect::<Result<_>>()?,
        })
    }

    fn violations(&self, names: &SourceNames) -> Result<Vec<Violation>> {
        let mut violations = prometheus::violations(&self.rules, &self.rule_tests, names)?;
        violations.extend(dashboard::violations(&self.dashboard, names)?);
        for host in &self.hosts {
            violations.extend(units::violations(host));
            violations.extend(pods::violations(host)?);
        }
        violations.sort();
        Ok(violations)
    }
}

impl File {
    fn read(root: &Path, path: &str) -> Result<Self> {
        let content = fs::read_to_string(root.join(path));
        Ok(Self {
            path: path.to_owned(),
            content: content.with_context(|| format!("cannot read {path}"))?,
        })
    }

    fn violation(&self, rule: rule::Rule, what: impl Into<String>) -> Violation {
        Violation {
            path: self.path.clone(),
            rule,
            what: what.into(),
        }
    }
}

fn print(
    violations: &[Violation],
    kit: &Kit,
    names: &SourceNames,
    out: &mut impl Write,
) -> Result<()> {
    for violation in violations {
        writeln!(out, "{violation}")?;
    }
    let verdict = match violations.len() {
        0 => "no violation".to_owned(),
        1 => "1 violation".to_owned(),
        count => format!("{count} violations"),
    };
    writeln!(
        out,
        "check-deploy: {verdict}; checked alerts: {}, panels: {}, hosts: {}, metrics in the sources: {}",
        prometheus::alerts(&kit.rules)?.len(),
        dashboard::expressions(&kit.dashboard)?.len(),
        kit.hosts.len(),
        names.metrics().count(),
    )?;
    Ok(())
}

/// All files of a kind below a folder, sorted.
fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let cannot_list = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        if path.is_dir() {
            found.extend(files_below(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
