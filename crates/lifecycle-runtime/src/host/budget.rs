//! Whether a stop fits into the time that the service manager grants, looked at before anything is started.

use std::fmt;

use lifecycle_core::{ComponentId, Defaults, Nanos, Plan, Policies, WorstStop};

use super::HostConfig;

/// How long the engine waits for what it has aborted, after the deadline of a stop and after that of the force that may
/// follow: twice 8 ms each.
const ABORTING: Nanos = Nanos::from_millis(32);

/// How many components of a path are named.
const NAMED: usize = 8;

/// A stop may take longer than the service manager waits before it kills.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service manager kills after {granted}, but a stop may take {needed}: the shutdown timeout of {shutdown}, {force} \
     to force what refuses, {leftover} for what is left, {spans}{ABORTING} to abort; {remedy}"
)]
pub(super) struct DoesNotFit {
    granted: Nanos,
    needed: Nanos,
    shutdown: Nanos,
    force: Nanos,
    leftover: Nanos,
    spans: Spans,
    remedy: Remedy,
}

/// How long the last spans may take; nothing is said of them where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spans(Nanos);

impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Nanos::ZERO => Ok(()),
            time => write!(f, "{time} for the last spans, "),
        }
    }
}

/// What to change.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// The shutdown timeout, to at most this.
    Shorten(Nanos),
    /// The others do not leave any time for it.
    GrantMore,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("let it wait longer (terminationGracePeriodSeconds, TimeoutStopSec)")?;
        match self {
            Self::Shorten(most) => write!(f, ", or set the shutdown timeout to at most {most}"),
            Self::GrantMore => Ok(()),
        }
    }
}

/// Checks that a stop ends before the service manager kills, if it is known when that is; says in the log which components
/// declare more than a stop may take. Where nobody has declared anything, the built-in limits of each are more than that
/// of the whole in any graph that is a few components deep, and nothing is to be said.
///
/// # Errors
///
/// [`DoesNotFit`]: then the host must not start, since it would be killed in a stop that keeps all its limits.
pub(super) fn check(config: &HostConfig, plan: &Plan) -> Result<(), DoesNotFit> {
    let granted = config.kill_timeout.map(Nanos::from);
    if let Some(granted) = granted {
        let leftover = Nanos::from(config.leftover_timeout);
        let traces = config.traces.as_ref();
        let spans = traces.map_or(Nanos::ZERO, |it| it.flush_timeout().into());
        fits(plan, granted, leftover, Spans(spans))?;
    }
    let worst = plan.worst_stop();
    match concern(plan, &worst, granted) {
        Concern::None => {}
        Concern::CutShort => {
            let text = Text::of(plan, &worst, None);
            tracing::info!(
                target: "lifecycle",
                event = "plan.worst_stop",
                duration_ms = worst.total().as_millis(),
                "{text}",
            );
        }
        Concern::Killed => {
            let text = Text::of(plan, &worst, granted);
            tracing::warn!(
                target: "lifecycle",
                event = "plan.worst_stop",
                duration_ms = worst.total().as_millis(),
                "{text}",
            );
        }
    }
    Ok(())
}

fn fits(plan: &Plan, granted: Nanos, leftover: Nanos, spans: Spans) -> Result<(), DoesNotFit> {
    let shutdown = plan.defaults().shutdown_timeout;
    let force = plan.defaults().force_timeout;
    let beside = force.saturating_add(leftover).saturating_add(spans.0);
    let beside = beside.saturating_add(ABORTING);
    let needed = shutdown.saturating_add(beside);
    if needed <= granted {
        return Ok(());
    }
    let most = Nanos::new(granted.as_nanos().saturating_sub(beside.as_nanos()));
    Err(DoesNotFit {
        granted,
        needed,
        shutdown,
        force,
        leftover,
        spans,
        remedy: match most {
            Nanos::ZERO => Remedy::GrantMore,
            most => Remedy::Shorten(most),
        },
    })
}

/// What is to be said of the longest declared stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// Nothing: there is time for all of it.
    None,
    /// The shutdown timeout ends it early.
    CutShort,
    /// So it does, and the time that the service manager grants would not do either.
    Killed,
}

fn concern(plan: &Plan, worst: &WorstStop, granted: Option<Nanos>) -> Concern {
    let total = worst.total();
    if !is_declared(plan, worst) {
        return Concern::None;
    }
    if granted.is_some_and(|it| total > it) {
        return Concern::Killed;
    }
    if total > plan.defaults().shutdown_timeout {
        return Concern::CutShort;
    }
    Concern::None
}

/// Whether the limit of the whole, or anything on the longest paths, is other than what is built in: said of a component, or
/// of all of them.
fn is_declared(plan: &Plan, worst: &WorstStop) -> bool {
    if plan.defaults().shutdown_timeout != Defaults::default().shutdown_timeout {
        return true;
    }
    let built_in = Policies::default();
    let mut drains = worst.drain_path.iter().map(|it| plan.policies(*it));
    let mut stops = worst.stop_path.iter().map(|it| plan.policies(*it));
    drains.any(|it| it.drain_timeout != built_in.drain_timeout)
        || stops
            .any(|it| it.stop != built_in.stop || it.dispose_timeout != built_in.dispose_timeout)
}

/// The longest declared stop, for people.
struct Text<'a> {
    plan: &'a Plan,
    worst: &'a WorstStop,
    granted: Option<Nanos>,
}

impl<'a> Text<'a> {
    fn of(plan: &'a Plan, worst: &'a WorstStop, granted: Option<Nanos>) -> Self {
        Self {
            plan,
            worst,
            granted,
        }
    }

    fn drain_of(&self, id: ComponentId) -> Nanos {
        self.plan.policies(id).drain_timeout
    }

    fn stop_of(&self, id: ComponentId) -> Nanos {
        self.plan.weight(id)
    }

    /// Writes `path`, the first [`NAMED`] of it by name and length.
    fn write_path(
        &self,
        f: &mut fmt::Formatter<'_>,
        path: &[ComponentId],
        length: impl Fn(&Self, ComponentId) -> Nanos,
    ) -> fmt::Result {
        for (position, id) in path.iter().take(NAMED).enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            let name = self.plan.name(*id);
            write!(f, "{separator}{name} {}", length(self, *id))?;
        }
        match path.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = self.worst;
        write!(f, "by declaration a stop may take {}: ", worst.total())?;
        if worst.settle > Nanos::ZERO {
            write!(f, "{} to settle; ", worst.settle)?;
        }
        if worst.drain > Nanos::ZERO {
            write!(f, "{} to drain (", worst.drain)?;
            self.write_path(f, &worst.drain_path, Self::drain_of)?;
            f.write_str("); ")?;
        }
        write!(f, "{} to stop (", worst.stop)?;
        self.write_path(f, &worst.stop_path, Self::stop_of)?;
        let shutdown = self.plan.defaults().shutdown_timeout;
        write!(f, "); the shutdown timeout cuts it short after {shutdown}")?;
        match self.granted {
            None => Ok(()),
            Some(granted) => write!(f, ", and the service manager kills after {granted}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use lifecycle_core::{Registration, Retry, component};

    use super::*;

    fn idle(name: String) -> Registration {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        Registration::new(name, idle)
    }

    /// A chain of so many components, the last of which stops first; each takes 2 s to stop and 1 s to dispose.
    fn chain(count: usize, shutdown: u64) -> Arc<Plan> {
        chain_of(count, shutdown, |it| {
            it.stop_retry(Retry::none().with_attempt_timeout(Duration::from_secs(2)))
                .dispose_timeout(Duration::from_secs(1))
        })
    }

    fn chain_of(
        count: usize,
        shutdown: u64,
        say: impl Fn(Registration) -> Registration,
    ) -> Arc<Plan> {
        let registrations = (0..count).map(|number| {
            let below = number.checked_sub(1).map(|it| format!("c{it}"));
            say(idle(format!("c{number}")).depends_on(below))
        });
        let defaults = Defaults {
            shutdown_timeout: Nanos::from_secs(shutdown),
            ..Defaults::default()
        };
        Plan::compile(registrations.collect(), defaults)
            .unwrap()
            .plan
    }

    const SECOND: Nanos = Nanos::from_secs(1);
    const NO_SPANS: Spans = Spans(Nanos::ZERO);

    #[test]
    fn a_stop_that_cannot_end_before_it_is_killed_is_refused_with_both_lengths_and_the_remedy() {
        let plan = chain(1, 45);
        let error = fits(&plan, Nanos::from_secs(30), SECOND, NO_SPANS).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the service manager kills after 30s, but a stop may take 47032ms: the shutdown timeout of 45s, 1s to force what \
             refuses, 1s for what is left, 32ms to abort; let it wait longer (terminationGracePeriodSeconds, \
             TimeoutStopSec), or set the shutdown timeout to at most 27968ms"
        );
        let error = fits(&plan, SECOND, SECOND, NO_SPANS).unwrap_err();
        assert_eq!(error.remedy, Remedy::GrantMore);
    }

    #[test]
    fn a_stop_that_just_fits_is_no_fault() {
        let plan = chain(1, 45);
        let least = Nanos::from_millis(47_032);
        assert_eq!(fits(&plan, least, SECOND, NO_SPANS), Ok(()));
        let less = Nanos::new(least.as_nanos() - 1);
        assert!(fits(&plan, less, SECOND, NO_SPANS).is_err());
    }

    #[test]
    fn the_last_spans_are_a_part_of_the_stop() {
        let plan = chain(1, 45);
        let without = Nanos::from_millis(47_032);
        let error = fits(&plan, without, SECOND, Spans(SECOND)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("may take 48032ms"), "{text}");
        assert!(
            text.contains("1s for what is left, 1s for the last spans, 32ms"),
            "{text}"
        );
        assert_eq!(
            fits(&plan, without.saturating_add(SECOND), SECOND, Spans(SECOND)),
            Ok(())
        );
    }

    #[test]
    fn the_worst_stop_is_told_when_something_limits_it() {
        let concern_of = |count, granted| {
            let plan = chain(count, 10);
            concern(&plan, &plan.worst_stop(), granted)
        };
        assert_eq!(concern_of(3, None), Concern::None);
        assert_eq!(concern_of(4, None), Concern::CutShort);
        let granted = Some(Nanos::from_secs(13));
        assert_eq!(concern_of(4, granted), Concern::CutShort);
        assert_eq!(concern_of(5, granted), Concern::Killed);
    }

    #[test]
    fn nothing_is_told_of_limits_that_nobody_has_declared() {
        let concern_of =
            |plan: &Plan| concern(plan, &plan.worst_stop(), Some(Nanos::from_secs(50)));
        // 15 s each, of 45 s.
        let plan = chain_of(4, 45, |it| it);
        assert_eq!(plan.worst_stop().total(), Nanos::from_secs(60));
        assert_eq!(concern_of(&plan), Concern::None);
        let plan = chain_of(4, 46, |it| it);
        assert_eq!(concern_of(&plan), Concern::Killed);
        let short = Duration::from_millis(10);
        let plan = chain_of(5, 45, |it| match it.name.as_str() {
            "c0" => it.dispose_timeout(short),
            _ => it,
        });
        assert_eq!(concern_of(&plan), Concern::Killed);
    }

    #[test]
    fn the_path_is_named_in_the_order_in_which_it_stops_and_a_long_one_is_counted() {
        let plan = chain(2, 4);
        assert_eq!(
            Text::of(&plan, &plan.worst_stop(), None).to_string(),
            "by declaration a stop may take 6s: 6s to stop (c1 3s, c0 3s); the shutdown timeout cuts it short after 4s"
        );
        let plan = chain(11, 10);
        let text = Text::of(&plan, &plan.worst_stop(), Some(Nanos::from_secs(15))).to_string();
        assert!(text.contains("(c10 3s, c9 3s, "), "{text}");
        assert!(text.contains("c3 3s, and 3 more); "), "{text}");
        assert!(
            text.ends_with("after 10s, and the service manager kills after 15s"),
            "{text}"
        );
    }
}
