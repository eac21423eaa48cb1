//! Other programs: how they are started and what is said about it.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

/// The root of this checkout.
///
/// As `cargo run` says; what was compiled in is a fallback, since two checkouts may share a target
/// folder.
pub(crate) fn root() -> PathBuf {
    let running = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = running.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    own.parent().unwrap_or(&own).to_owned()
}

/// Prints one line, at once.
pub(crate) fn say(line: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A command at the root of the checkout: settings such as `NAME=value`, program, arguments.
///
/// `cargo` is the one that runs us. No child may fetch a toolchain or a component: a gate that
/// changes the machine it judges proves nothing about it.
pub(crate) fn command(words: &[&str]) -> Command {
    let settings = words.iter().map_while(|it| it.split_once('='));
    let (program, args) = words[settings.clone().count()..]
        .split_first()
        .unwrap_or((&"cargo", &[]));
    let mut command = match *program {
        "cargo" => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        other => Command::new(other),
    };
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_us(name)) {
        command.env_remove(name);
    }
    command
        .args(args)
        .current_dir(root())
        .env("RUSTUP_AUTO_INSTALL", "0")
        .envs(settings);
    command
}

/// Whether a variable describes this package to us, from the `cargo run` that started us. A tool
/// that finds it takes itself for a program under test: cargo-machete then misreads its arguments.
fn is_about_us(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
}

/// Runs a command in sight of the reader; true when it succeeded.
pub(crate) fn succeeds(words: &[&str]) -> Result<bool> {
    let line = words.join(" ");
    say(format_args!("$ {line}"))?;
    let status = command(words)
        .status()
        .with_context(|| format!("cannot run {line}"))?;
    Ok(status.success())
}

/// Fails with the remedy when a program is not there.
pub(crate) fn need(program: &str, version: &str, package: &str) -> Result<()> {
    let is_there = succeeds(&[program, version]).unwrap_or(false);
    ensure!(
        is_there,
        "{program} is missing; on Debian: apt-get install {package}"
    );
    Ok(())
}

/// What the process ends with.
pub(crate) fn exit_code(passed: bool) -> ExitCode {
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What a command prints; `None` when it is missing or fails.
pub(crate) fn output_of(words: &[&str]) -> Option<String> {
    let output = command(words)
        .output()
        .ok()
        .filter(|it| it.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
