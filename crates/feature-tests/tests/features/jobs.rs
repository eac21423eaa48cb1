//! [`Jobs`]: what command lines have left running behind them.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::process::DEADLINE;

/// Groups of processes, until they are ended.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<Vec<u32>>);

impl Jobs {
    /// Takes in the group of a command that has ended, if somebody of it is left.
    pub(crate) fn take_over(&self, group: u32) {
        if is_there(group) {
            self.0.lock().expect("nobody has panicked").push(group);
        }
    }

    /// Kills what is left, and waits until it has gone.
    pub(crate) fn end(&self) {
        let groups = self.0.lock().map(|mut it| std::mem::take(&mut *it));
        for group in groups.unwrap_or_default() {
            // The last may have gone by itself.
            let group_id = format!("-{group}");
            let _ = Command::new("kill")
                .args(["-KILL", "--", &group_id])
                .stderr(Stdio::null())
                .status();
            let end = Instant::now() + DEADLINE;
            while is_there(group) && Instant::now() < end {
                thread::yield_now();
            }
        }
    }
}

/// Whether a process of the group runs. Who has ended, and whom nobody has asked for its exit code, does not.
pub(crate) fn is_there(group: u32) -> bool {
    let group = group.to_string();
    let all = fs::read_dir("/proc").expect("this is Linux").flatten();
    let mut states = all.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
    states.any(|it| {
        // The name before the bracket may have anything in it.
        let rest = it.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<_> = rest.split_whitespace().take(3).collect();
        matches!(fields[..], [state, _, of] if of == group && !matches!(state, "Z" | "X"))
    })
}
