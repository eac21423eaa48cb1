//! [`Fault`]: what is done next, drawn from a seed.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// Something that is done, to the end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGTERM, and another process after it.
    Terminate(usize),
    /// SIGKILL, and another process after it.
    Kill(usize),
    /// SIGSTOP, and SIGCONT after it.
    Pause(usize, Duration),
    /// A drain by the command line, and a resume.
    Drain(usize),
    /// A cordon by the command line, and an uncordon.
    Cordon(usize),
    /// A component is restarted by the command line.
    Restart(usize, &'static str),
    /// etcd is killed, and started again.
    KillEtcd(Duration),
    /// etcd is paused.
    PauseEtcd(Duration),
    /// The keys of gossip are replaced, in three steps.
    RotateKeys,
}

/// What may be done to a host.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Whether its process has to stay.
    pub(super) is_veteran: bool,
    pub(super) components: &'static [&'static str],
}

/// Draws one fault after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    seed: u64,
    turn: u64,
}

impl Schedule {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, turn: 0 }
    }

    pub(super) fn next(&mut self, targets: &[Target]) -> Fault {
        self.turn += 1;
        let at = self.below("target", targets.len());
        let target = &targets[at];
        let long = Duration::from_millis(500 + 500 * self.milli("length", 12));
        let component = target.components[self.below("component", target.components.len())];
        match self.below("kind", 12) {
            0 | 1 if !target.is_veteran => Fault::Terminate(at),
            2 | 3 if !target.is_veteran => Fault::Kill(at),
            0..=3 => Fault::Restart(at, component),
            4 | 5 => Fault::Pause(at, long),
            6 => Fault::Drain(at),
            7 => Fault::Cordon(at),
            8 => Fault::Restart(at, component),
            9 => Fault::KillEtcd(long),
            10 => Fault::PauseEtcd(long),
            _ => Fault::RotateKeys,
        }
    }

    /// How long all is left in peace.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(500 + 250 * self.milli("pause", 7))
    }

    fn below(&self, what: &str, end: usize) -> usize {
        // The standard library's hash of no key is the same in every process.
        let mut hasher = DefaultHasher::new();
        (self.seed, self.turn, what).hash(&mut hasher);
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(hasher.finish() % end).expect("it is below a usize")
    }

    fn milli(&self, what: &str, end: usize) -> u64 {
        u64::try_from(self.below(what, end)).expect("it is small")
    }
}

impl Fault {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Terminate(_) => "SIGTERM",
            Self::Kill(_) => "SIGKILL",
            Self::Pause(..) => "SIGSTOP",
            Self::Drain(_) => "drain",
            Self::Cordon(_) => "cordon",
            Self::Restart(..) => "component restart",
            Self::KillEtcd(_) => "etcd killed",
            Self::PauseEtcd(_) => "etcd paused",
            Self::RotateKeys => "keys rotated",
        }
    }

    /// The host to which it is done.
    pub(super) fn target(&self) -> Option<usize> {
        match self {
            Self::Terminate(at)
            | Self::Kill(at)
            | Self::Pause(at, _)
            | Self::Drain(at)
            | Self::Cordon(at)
            | Self::Restart(at, _) => Some(*at),
            Self::KillEtcd(_) | Self::PauseEtcd(_) | Self::RotateKeys => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if let Some(at) = self.target() {
            write!(f, " of host {at}")?;
        }
        match self {
            Self::Restart(_, component) => write!(f, ": {component}"),
            Self::Pause(_, length) | Self::KillEtcd(length) | Self::PauseEtcd(length) => {
                write!(f, " for {length:?}")
            }
            Self::Terminate(_)
            | Self::Kill(_)
            | Self::Drain(_)
            | Self::Cordon(_)
            | Self::RotateKeys => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn drawn(seed: u64) -> Vec<Fault> {
        let target = |is_veteran| Target {
            is_veteran,
            components: &["a", "b"],
        };
        let targets = [target(true), target(false)];
        let mut schedule = Schedule::of(seed);
        (0..300).map(|_| schedule.next(&targets)).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again_every_kind_comes_and_veterans_stay() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let kinds: BTreeSet<_> = drawn(7).iter().map(Fault::kind).collect();
        assert_eq!(kinds.len(), 9);
        let ends = |it: &Fault| matches!(it, Fault::Terminate(0) | Fault::Kill(0));
        assert!(!drawn(7).iter().any(ends));
    }
}
