//! [`Accounts`]: what the system says that a process has.

use std::fs;

use anyhow::{Context as _, Result};

/// At one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// Memory that is its own or shared, in KiB.
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Accounts {
    /// # Errors
    ///
    /// When there is no such process any more.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Self::read(&status, u64::try_from(descriptors)?)
            .with_context(|| format!("/proc/{process}/status has no such lines"))
    }

    fn read(status: &str, descriptors: u64) -> Option<Self> {
        Some(Self {
            resident: number(status, "VmRSS:")?,
            descriptors,
            threads: number(status, "Threads:")?,
        })
    }

    /// Memory in KiB, of which what is shared is divided among those who share it.
    pub(crate) fn share(process: u32) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        number(&rollup, "Pss:").context("smaps_rollup has no such line")
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read() {
        let status = "VmRSS:\t  6200 kB\nThreads:\t5\n";
        let expected = Accounts {
            resident: 6_200,
            descriptors: 9,
            threads: 5,
        };
        assert_eq!(Accounts::read(status, 9), Some(expected));
        assert_eq!(Accounts::read("Threads:\t5\n", 9), None);
        assert!(Accounts::of(std::process::id()).unwrap().descriptors > 2);
    }
}
