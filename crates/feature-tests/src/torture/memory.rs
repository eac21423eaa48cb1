//! [`Memory`]: what the system's accounts say that this process has.

use std::fs;

use serde::Serialize;

/// In KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// At most, so far.
    pub(crate) peak: u64,
}

impl Memory {
    /// Zeros where the system keeps no such accounts.
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::read(&status)
    }

    fn read(status: &str) -> Self {
        let kib = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name));
            let number = line.and_then(|it| it.split_whitespace().next());
            number.and_then(|it| it.parse().ok()).unwrap_or_default()
        };
        Self {
            resident: kib("VmRSS:"),
            peak: kib("VmHWM:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read() {
        let status = "Name:\ttorture-host\nVmHWM:\t  7300 kB\nVmRSS:\t  6200 kB\n";
        let expected = Memory {
            resident: 6_200,
            peak: 7_300,
        };
        assert_eq!(Memory::read(status), expected);
        assert!(Memory::now().resident > 0);
    }
}
