//! [`FaultPlan`]: faults made from a seed, so that a run that failed can be replayed.

use std::fmt;
use std::time::Duration;

use crate::act::Act;
use crate::hook::Hook;

/// The environment variable that replaces the seed of a plan made with [`FaultPlan::from_env`].
const SEED: &str = "LIFECYCLE_SEED";

/// How often which fault shall happen: for each kind the share of calls that get it, from 0 to 1. Where the shares add up
/// to more than 1, the later kinds get what is left.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultProfile {
    /// Returns an error.
    pub fail: f64,
    /// Returns an error that says that trying again cannot help.
    pub fail_permanently: f64,
    /// Panics.
    pub panic: f64,
    /// Goes on until it is cancelled.
    pub hang_until_cancelled: f64,
    /// Never ends, and ignores being cancelled.
    pub hang: f64,
    /// Succeeds, up to [`slowest`](Self::slowest) later.
    pub slow: f64,
    /// Of starts only: succeeds, and the component is lost up to [`longest_run`](Self::longest_run) later.
    pub flap: f64,
    /// The longest delay of a slow call (1 s).
    pub slowest: Duration,
    /// The longest run of a component that flaps (10 s).
    pub longest_run: Duration,
    /// Which calls get faults (start and stop).
    pub hooks: Vec<Hook>,
}

impl FaultProfile {
    /// No fault at all; the base for one's own.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            fail: 0.0,
            fail_permanently: 0.0,
            panic: 0.0,
            hang_until_cancelled: 0.0,
            hang: 0.0,
            slow: 0.0,
            flap: 0.0,
            slowest: Duration::from_secs(1),
            longest_run: Duration::from_secs(10),
            hooks: vec![Hook::Start, Hook::Stop],
        }
    }

    /// A bit of everything: about four calls in ten get a fault.
    #[must_use]
    pub fn stormy() -> Self {
        Self {
            fail: 0.1,
            fail_permanently: 0.01,
            panic: 0.02,
            hang_until_cancelled: 0.02,
            hang: 0.02,
            slow: 0.15,
            flap: 0.1,
            ..Self::calm()
        }
    }
}

/// What is done to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It returns an error.
    Fail,
    /// It returns an error that says that trying again cannot help.
    FailPermanently,
    /// It panics.
    Panic,
    /// It goes on until it is cancelled.
    HangUntilCancelled,
    /// It never ends, and ignores being cancelled.
    Hang,
    /// It succeeds after this long.
    Slow(Duration),
    /// It succeeds, and the component is lost after this long.
    Flap(Duration),
}

impl Fault {
    pub(crate) fn act(self) -> Act {
        match self {
            Self::Fail => Act::fail(),
            Self::FailPermanently => Act::fail_permanently(),
            Self::Panic => Act::panic(),
            Self::HangUntilCancelled => Act::hang_until_cancelled(),
            Self::Hang => Act::hang(),
            Self::Slow(delay) => Act::succeed_after(delay),
            Self::Flap(run) => Act::flap(run),
        }
    }
}

/// Decides which call gets which fault, from a seed and nothing but the call's name and numbers: the same plan gives the
/// same faults in every process, in whichever order calls are made.
///
/// ```
/// use lifecycle_testkit::{FaultPlan, FaultProfile, Hook};
///
/// let plan = FaultPlan::seeded(7, FaultProfile::stormy());
/// assert_eq!(plan.fault("db", Hook::Start, 1, 1), plan.fault("db", Hook::Start, 1, 1));
/// assert!(plan.to_string().starts_with("replay with seed 7"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    seed: u64,
    profile: FaultProfile,
}

impl FaultPlan {
    /// The plan of `seed`.
    #[must_use]
    pub fn seeded(seed: u64, profile: FaultProfile) -> Self {
        Self { seed, profile }
    }

    /// As [`seeded`](Self::seeded), unless the environment variable `LIFECYCLE_SEED` says another seed: to replay a
    /// failure without touching the test.
    ///
    /// # Panics
    ///
    /// When the variable is set to something that is no number.
    #[must_use]
    pub fn from_env(seed: u64, profile: FaultProfile) -> Self {
        let said = std::env::var(SEED).ok();
        let seed = said.map_or(seed, |text| {
            let parsed = text.trim().parse();
            parsed.unwrap_or_else(|_| panic!("{SEED} is {text:?}; use a whole number"))
        });
        Self::seeded(seed, profile)
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is done to the call `hook` of `component`, if anything. Calls without attempts are counted in their
    /// generation instead.
    #[must_use]
    pub fn fault(
        &self,
        component: &str,
        hook: Hook,
        generation: u32,
        attempt: u32,
    ) -> Option<Fault> {
        if !self.profile.hooks.contains(&hook) {
            return None;
        }
        let parts = [
            name_hash(component),
            hook as u64,
            u64::from(generation),
            u64::from(attempt),
        ];
        let drawn = parts
            .iter()
            .fold(mix(self.seed), |state, part| mix(state ^ mix(*part)));
        self.pick(hook, unit(drawn), unit(mix(drawn)))
    }

    /// The fault at `position` of all shares laid end to end.
    fn pick(&self, hook: Hook, mut position: f64, length: f64) -> Option<Fault> {
        let profile = &self.profile;
        let flap = if hook == Hook::Start {
            profile.flap
        } else {
            0.0
        };
        let shares = [
            (profile.fail, Fault::Fail),
            (profile.fail_permanently, Fault::FailPermanently),
            (profile.panic, Fault::Panic),
            (profile.hang_until_cancelled, Fault::HangUntilCancelled),
            (profile.hang, Fault::Hang),
            (profile.slow, Fault::Slow(profile.slowest.mul_f64(length))),
            (flap, Fault::Flap(profile.longest_run.mul_f64(length))),
        ];
        for (share, fault) in shares {
            if position < share {
                return Some(fault);
            }
            position -= share;
        }
        None
    }

    /// Writes how to replay this plan to the standard error stream when the test panics while the note is alive.
    #[must_use = "the note is written when it is dropped in a panic"]
    pub fn note_on_panic(&self) -> ReplayNote {
        ReplayNote(self.to_string())
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "replay with seed {seed} ({SEED}={seed}); {profile:?}",
            seed = self.seed,
            profile = self.profile
        )
    }
}

/// Says how to replay a plan if the test fails: see [`FaultPlan::note_on_panic`].
#[derive(Debug)]
pub struct ReplayNote(String);

impl Drop for ReplayNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Names are compared without regard to ASCII case, so they are hashed alike (FNV-1a).
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every input bit reaches every output bit.
fn mix(input: u64) -> u64 {
    let mut state = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// A number from 0 up to, and without, 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are what a float can hold, and all that is kept"
)]
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(plan: &FaultPlan) -> Vec<Option<Fault>> {
        let call = |attempt| plan.fault("db", Hook::Start, 1, attempt);
        (1..=10_000).map(call).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        let plan = |seed| FaultPlan::seeded(seed, FaultProfile::stormy());
        assert_eq!(faults(&plan(7)), faults(&plan(7)));
        assert_ne!(faults(&plan(7)), faults(&plan(8)));
        let start = |name| {
            (1..100)
                .map(|it| plan(7).fault(name, Hook::Start, it, 1))
                .collect::<Vec<_>>()
        };
        assert_eq!(start("db"), start("DB"), "names are the same in any case");
        assert_ne!(start("db"), start("api"));
    }

    #[test]
    fn each_kind_comes_about_as_often_as_the_profile_says() {
        let profile = FaultProfile {
            fail: 0.2,
            panic: 0.05,
            flap: 0.1,
            ..FaultProfile::calm()
        };
        let faults = faults(&FaultPlan::seeded(1, profile));
        let count = |wanted: fn(Fault) -> bool| {
            let found = faults.iter().flatten().filter(|it| wanted(**it));
            found.count()
        };
        assert!((1_800..2_200).contains(&count(|it| it == Fault::Fail)));
        assert!((400..600).contains(&count(|it| it == Fault::Panic)));
        assert!((850..1_150).contains(&count(|it| matches!(it, Fault::Flap(_)))));
        assert_eq!(count(|it| matches!(it, Fault::Slow(_) | Fault::Hang)), 0);
    }

    #[test]
    fn calls_that_the_profile_does_not_name_get_no_fault_and_only_a_start_flaps() {
        let always = FaultProfile {
            flap: 1.0,
            ..FaultProfile::calm()
        };
        let plan = FaultPlan::seeded(1, always);
        assert!(matches!(
            plan.fault("db", Hook::Start, 1, 1),
            Some(Fault::Flap(_))
        ));
        assert_eq!(plan.fault("db", Hook::Stop, 1, 1), None);
        assert_eq!(plan.fault("db", Hook::Dispose, 1, 1), None);
    }
}
