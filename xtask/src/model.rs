//! `model`: the model checker of lifecycle-core, which prints how many states it explored.

use std::process::ExitCode;

use anyhow::Result;

use crate::example;

pub(crate) fn run(args: &example::Args) -> Result<ExitCode> {
    example::run("model", args)
}
