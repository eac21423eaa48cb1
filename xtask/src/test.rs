//! `test`: the tests and doctests of the gate, without the rest of it.

use std::process::ExitCode;

use anyhow::Result;

use crate::ci;

pub(crate) fn run() -> Result<ExitCode> {
    ci::run_only(&["tests", "doctests"])
}
