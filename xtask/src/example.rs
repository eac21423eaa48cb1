//! Examples of lifecycle-core that are commands of the project.
//!
//! They are not part of this program, so that xtask builds without any of our crates: a boundary
//! that can only be checked when everything compiles is not checked when it matters.

use std::process::ExitCode;

use anyhow::Result;

use crate::process::{exit_code, succeeds};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Handed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs an example in the profile of the test tiers.
pub(crate) fn run(name: &str, args: &Args) -> Result<ExitCode> {
    let fixed = [
        "cargo",
        "run",
        "--profile",
        "ci",
        "--package",
        "lifecycle-core",
        "--example",
        name,
        "--",
    ];
    let line: Vec<_> = fixed
        .into_iter()
        .chain(args.args.iter().map(String::as_str))
        .collect();
    Ok(exit_code(succeeds(&line)?))
}
