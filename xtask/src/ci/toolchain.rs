//! The pinned toolchain: shown first, and never fetched.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{output_of, root, say};

/// Components that the stages need, by a command that answers when they are there.
const COMPONENTS: &[(&str, &[&str])] = &[
    ("clippy", &["cargo", "clippy", "--version"]),
    ("rustfmt", &["cargo", "fmt", "--version"]),
];

/// Prints what is installed; an error when the pinned toolchain or a component is missing.
pub(crate) fn check() -> Result<()> {
    let manifest = fs::read_to_string(root().join("rust-toolchain.toml"))?;
    let pinned = channel(&manifest).context("rust-toolchain.toml names no channel")?;
    if let Some(installed) = output_of(&["rustup", "toolchain", "list"]) {
        say(format_args!(
            "$ rustup toolchain list\n{}",
            installed.trim_end()
        ))?;
    }
    let compiler = output_of(&["rustc", "--version"]).unwrap_or_default();
    say(format_args!("$ rustc --version\n{}", compiler.trim_end()))?;
    if !is_version(&compiler, pinned) {
        bail!("toolchain {pinned} is not in use; install it: rustup toolchain install {pinned}");
    }
    for (component, probe) in COMPONENTS {
        ensure!(
            output_of(probe).is_some(),
            "{component} is missing; add it: rustup component add {component} --toolchain {pinned}",
        );
    }
    Ok(())
}

fn channel(manifest: &str) -> Option<&str> {
    let line = manifest
        .lines()
        .find_map(|it| it.strip_prefix("channel = "))?;
    Some(line.trim_matches('"'))
}

/// Whether `rustc --version` printed exactly this version.
fn is_version(printed: &str, pinned: &str) -> bool {
    printed.split_whitespace().nth(1) == Some(pinned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_read_from_the_toolchain_file() {
        assert_eq!(
            channel("[toolchain]\nchannel = \"1.95.0\"\n"),
            Some("1.95.0")
        );
        assert_eq!(channel("[toolchain]\n"), None);
    }

    #[test]
    fn only_the_exact_version_counts() {
        assert!(is_version("rustc 1.95.0 (abc 2026-04-14)\n", "1.95.0"));
        assert!(!is_version("rustc 1.95.1 (abc 2026-05-14)\n", "1.95.0"));
        assert!(!is_version("", "1.95.0"));
    }
}
