//! [`Built`]: the programs, made by cargo.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::process::{command, output_of, root, succeeds};

/// The profile of what is shipped, in the root manifest.
const PROFILE: &str = "shipped";

/// What cargo has built.
pub(crate) struct Built {
    /// As rustc names it.
    pub(crate) platform: String,
    folder: PathBuf,
}

/// Builds the programs with their default features and those of `features` that they have; `None` when cargo has said why it
/// cannot.
pub(crate) fn run(programs: &[&str], features: &[&str]) -> Result<Option<Built>> {
    let features = format!("--features={}", features.join(","));
    let flags = format!("CARGO_ENCODED_RUSTFLAGS={}", flags(&root(), &cargo_home()?));
    let mut line = vec![
        &flags,
        "cargo",
        "build",
        "--locked",
        "--profile",
        PROFILE,
        "--bins",
        &features,
    ];
    for program in programs {
        line.extend(["--package", program]);
    }
    if !succeeds(&line)? {
        return Ok(None);
    }
    Ok(Some(Built {
        platform: host()?,
        folder: root().join("target").join(PROFILE),
    }))
}

/// Warnings are errors, and what panics say of places does not tell where this was built: only so do
/// two machines build the same. Separated as cargo wants it, since paths may have spaces.
fn flags(root: &Path, cargo_home: &Path) -> String {
    let elsewhere = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    [
        "-Dwarnings".to_owned(),
        elsewhere(cargo_home, "/cargo"),
        elsewhere(root, "/build"),
    ]
    .join("\u{1f}")
}

fn cargo_home() -> Result<PathBuf> {
    let named = env::var_os("CARGO_HOME").map(PathBuf::from);
    named
        .or_else(|| env::home_dir().map(|it| it.join(".cargo")))
        .context("neither CARGO_HOME nor HOME says where the sources of packages are")
}

fn host() -> Result<String> {
    let printed = output_of(&["rustc", "-vV"]).context("rustc does not say its version")?;
    let line = printed.lines().find_map(|it| it.strip_prefix("host: "));
    Ok(line
        .context("rustc does not name this platform")?
        .to_owned())
}

impl Built {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What the program itself says a shell needs to complete its flags.
    pub(crate) fn completions(&self, program: &str, shell: &str) -> Result<Vec<u8>> {
        let path = self.program(program);
        let path = path.to_str().context("the path of a program is no text")?;
        let output = command(&[path, "completions", shell])
            .output()
            .with_context(|| format!("cannot run {path}"))?;
        ensure!(
            output.status.success(),
            "{program} has no completions for {shell}"
        );
        Ok(output.stdout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_errors_and_the_folder_of_the_build_is_not_in_it() {
        let flags = flags(
            Path::new("/home/me/a project"),
            Path::new("/home/me/.cargo"),
        );
        let flags: Vec<_> = flags.split('\u{1f}').collect();
        assert_eq!(
            flags,
            [
                "-Dwarnings",
                "--remap-path-prefix=/home/me/.cargo=/cargo",
                "--remap-path-prefix=/home/me/a project=/build",
            ]
        );
    }
}
