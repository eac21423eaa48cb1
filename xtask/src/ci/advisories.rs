//! Known vulnerabilities, from the RustSec database: a copy as files when there is one beside the
//! checkout, else over the network.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::ci::Args;
use crate::ci::stage::Outcome;
use crate::process::{command, root, say, succeeds};

/// Names the copy's folder.
const FOLDER_VARIABLE: &str = "LIFECYCLE_ADVISORY_DB";
const DEFAULT_FOLDER: &str = "../shared/advisory-db";

/// `db-path` of deny.toml, and the folder that cargo-deny keeps the default database in there.
const DB_PATH: &str = "target/advisory-db";
const DB_NAME: &str = "advisory-db-3157b0e258782691";

const OFFLINE: &[&str] = &[
    "cargo",
    "deny",
    "--offline",
    "--locked",
    "check",
    "advisories",
];
const ONLINE: &[&str] = &["cargo", "deny", "--locked", "check", "advisories"];

/// Checks against the copy, or against the database itself when it can be reached.
pub(crate) fn check(_: &Args) -> Result<Outcome> {
    match folder() {
        Some(copy) => check_offline(&copy),
        None => check_online(),
    }
}

fn folder() -> Option<PathBuf> {
    let named = env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let folder = root().join(named.unwrap_or_else(|| DEFAULT_FOLDER.into()));
    folder.join("crates").is_dir().then_some(folder)
}

/// cargo-deny reads its database as a git repository, so the copy becomes one, and goes again: a
/// later run that fetches must not find a repository without a remote.
fn check_offline(copy: &Path) -> Result<Outcome> {
    let newest = newest_date(copy)?;
    say(format_args!(
        "advisories from {}, the newest of {newest}",
        copy.display()
    ))?;
    let database = root().join(DB_PATH);
    remove(&database)?;
    let repository = database.join(DB_NAME);
    copy_folder(copy, &repository)?;
    make_repository(&repository, &newest)?;
    let passed = succeeds(OFFLINE);
    remove(&database)?;
    Ok(Outcome::of(passed?))
}

fn check_online() -> Result<Outcome> {
    say(format_args!(
        "no folder with advisories ({FOLDER_VARIABLE}, else {DEFAULT_FOLDER}): asking the network"
    ))?;
    if succeeds(&["cargo", "deny", "fetch", "db"])? {
        return Ok(Outcome::of(succeeds(ONLINE)?));
    }
    let reason = "the advisory database cannot be reached".to_owned();
    // A build machine that cannot look must not say that all is well.
    let on_build_machine = env::var("CI").is_ok_and(|it| it == "true");
    Ok(if on_build_machine {
        Outcome::Failed(reason)
    } else {
        Outcome::Unchecked(reason)
    })
}

/// The newest date of any advisory, so that the staleness limit of deny.toml is about the data and
/// not about the copying.
fn newest_date(folder: &Path) -> Result<String> {
    let mut newest = String::new();
    for_each_file(folder, &mut |file| {
        let text = fs::read(file)?;
        let text = String::from_utf8_lossy(&text);
        let date = text
            .lines()
            .find_map(|it| it.strip_prefix("date = \"")?.strip_suffix('"'));
        newest = newest.as_str().max(date.unwrap_or_default()).to_owned();
        Ok(())
    })?;
    ensure!(
        !newest.is_empty(),
        "{} has no advisory with a date",
        folder.display()
    );
    Ok(newest)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for_each_file(from, &mut |file| {
        let target = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::copy(file, target)?;
        Ok(())
    })
}

fn for_each_file(folder: &Path, act: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            for_each_file(&path, act)?;
        } else {
            act(&path).with_context(|| format!("cannot use {}", path.display()))?;
        }
    }
    Ok(())
}

/// Makes a repository of the copy, fetched on `date` as far as cargo-deny can tell: it goes by the
/// time of this one file.
fn make_repository(folder: &Path, date: &str) -> Result<()> {
    let identity = [
        "git",
        "-c",
        "user.name=xtask",
        "-c",
        "user.email=xtask@localhost",
    ];
    let commit = ["commit", "--quiet", "--message", "A copy of the advisories"];
    let fetched = format!("{date}T00:00:00");
    inside(folder, &["git", "init", "--quiet"])?;
    inside(folder, &["git", "add", "--all"])?;
    inside(folder, &[&identity[..], &commit].concat())?;
    inside(folder, &["touch", "-d", &fetched, ".git/FETCH_HEAD"])
}

/// Without the user's git settings, which may sign commits or run hooks.
fn inside(folder: &Path, line: &[&str]) -> Result<()> {
    let status = command(line)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status();
    let line = line.join(" ");
    let status =
        status.with_context(|| format!("to read a copy of the advisories needs {line}"))?;
    ensure!(status.success(), "{line} failed");
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
