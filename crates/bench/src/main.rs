//! One run of ours or of bare tokio; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::run(bench::CONTENDERS)
}
