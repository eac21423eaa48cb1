//! What this process has of memory and has taken of processors, by the system's accounts.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::contender::Failed;

/// What the process has in pages that are its own and no file's: heap and stacks. Code that is touched for the first time
/// is not in it, and neither is what an allocator has asked for and nobody has used.
pub(crate) fn anonymous_bytes() -> Result<u64, Failed> {
    let accounts = fs::read_to_string("/proc/self/smaps_rollup")?;
    let kilobytes = accounts.lines().find_map(anonymous);
    Ok(kilobytes.ok_or("smaps_rollup has no line of anonymous memory")? * 1_024)
}

/// What all threads have taken of processors so far.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // It begins with the process, so that it is never negative.
    Duration::try_from(time).unwrap_or_default()
}

/// Of a line `Anonymous:   1234 kB`.
fn anonymous(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("Anonymous:")?;
    rest.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_accounts_is_read_and_others_are_not() {
        assert_eq!(anonymous("Anonymous:          1234 kB"), Some(1_234));
        assert_eq!(anonymous("AnonHugePages:         0 kB"), None);
    }

    #[test]
    fn work_of_every_thread_is_seen() {
        let before = processor_time();
        let worker = std::thread::spawn(move || {
            let enough = before + Duration::from_millis(20);
            while processor_time() < enough {}
        });
        worker.join().expect("it counts up to a limit");
        assert!(processor_time() >= before + Duration::from_millis(20));
    }

    #[test]
    fn memory_that_is_written_to_is_seen() {
        let before = anonymous_bytes().expect("it can be read");
        let mut block = vec![1_u8; 64 << 20];
        block[7] = 3;
        let after = anonymous_bytes().expect("it can be read");
        assert!(after - before >= 60 << 20, "{before} {after}");
        assert_eq!(block[7], 3);
    }
}
