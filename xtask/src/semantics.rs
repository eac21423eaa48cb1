//! `semantics`: the tables of the rules as the code has them; `--write` puts them into the document.

use std::process::ExitCode;

use anyhow::Result;

use crate::example;

pub(crate) fn run(args: &example::Args) -> Result<ExitCode> {
    example::run("semantics_table", args)
}
