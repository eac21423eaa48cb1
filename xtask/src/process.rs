//! Other programs: how they are started and what is said about it.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The root of this checkout.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Prints one line, at once.
pub(crate) fn say(line: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A command by program and arguments, at the root of the checkout.
///
/// `cargo` is the one that runs us. No child may fetch a toolchain or a component: a gate that
/// changes the machine it judges proves nothing about it.
pub(crate) fn command(line: &[&str]) -> Command {
    let (program, args) = line.split_first().unwrap_or((&"cargo", &[]));
    let mut command = match *program {
        "cargo" => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        other => Command::new(other),
    };
    command
        .args(args)
        .current_dir(root())
        .env("RUSTUP_AUTO_INSTALL", "0");
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_us(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether a variable describes this package to us, from the `cargo run` that started us. A tool
/// that finds it takes itself for a program under test: cargo-machete then misreads its arguments.
fn is_about_us(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
}

/// Runs a command in sight of the reader; true when it succeeded.
pub(crate) fn succeeds(line: &[&str], env: &[(&str, &str)]) -> Result<bool> {
    let settings: String = env
        .iter()
        .map(|(key, value)| format!("{key}='{value}' "))
        .collect();
    say(format_args!("$ {settings}{}", line.join(" ")))?;
    let status = command(line).envs(env.iter().copied()).status();
    Ok(status
        .with_context(|| format!("cannot run {}", line.join(" ")))?
        .success())
}

/// What a command prints; `None` when it is missing or fails.
pub(crate) fn output_of(line: &[&str]) -> Option<String> {
    let output = command(line)
        .output()
        .ok()
        .filter(|it| it.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
