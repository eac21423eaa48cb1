//! The checks, one function each.

use std::ops::ControlFlow;

use lifecycle_core::{Component, Registration, engine};
use lifecycle_runtime::{Handle, Orchestrator, StartError};

use super::call::Ended;
use super::trial::Trial;
use super::{Check, Suite};
use crate::act::Act;
use crate::scripted::Scripted;

/// The dependent that fails.
const DEPENDENT: &str = "failing-dependent";

/// Whether there is an await point left to be tried.
type Round = ControlFlow<()>;

/// Makes one check, and says what was found.
pub(super) async fn make(check: Check, suite: &Suite<'_>) -> Vec<String> {
    match check {
        Check::StartStop => once(suite, start_stop).await,
        Check::Restart => once(suite, restart).await,
        Check::StartTwice => once(suite, start_again).await,
        Check::CancelledStart => at_each_poll(suite, cancelled_start).await,
        Check::DroppedStart => at_each_poll(suite, dropped_start).await,
        Check::DroppedStop => at_each_poll(suite, dropped_stop).await,
        Check::StopTwice => {
            let mut findings = at_each_poll(suite, stop_again).await;
            findings.extend(once(suite, stop_after_success).await);
            findings
        }
        Check::ForcedStop => {
            let mut findings = once(suite, async |it| forced_stop(it, 0).await).await;
            findings.extend(once(suite, async |it| forced_stop(it, 1).await).await);
            findings.dedup();
            findings
        }
        Check::Drain => once(suite, drain).await,
        Check::Health => once(suite, health).await,
        Check::FailingDependent => failing_dependent(suite).await,
    }
}

async fn once(suite: &Suite<'_>, check: impl AsyncFn(&mut Trial<'_>)) -> Vec<String> {
    let mut trial = suite.trial();
    check(&mut trial).await;
    trial.findings
}

/// Makes the check at each await point in turn, on a new component each time, until there are no more. What is found at
/// several of them is said once.
async fn at_each_poll(
    suite: &Suite<'_>,
    check: impl AsyncFn(&mut Trial<'_>, usize) -> Round,
) -> Vec<String> {
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    for polls in 0..=suite.limits.polls {
        let mut trial = suite.trial();
        let round = check(&mut trial, polls).await;
        for what in trial.findings {
            match found.iter_mut().find(|(it, _)| *it == what) {
                Some((_, places)) => places.push(polls),
                None => found.push((what, vec![polls])),
            }
        }
        if round.is_break() {
            break;
        }
    }
    let located = found.into_iter();
    located
        .map(|(what, places)| format!("{what} (await points {places:?})"))
        .collect()
}

async fn start_stop(trial: &mut Trial<'_>) {
    trial.live().await;
}

async fn restart(trial: &mut Trial<'_>) {
    if trial.live().await {
        trial.after("start, stop and dispose");
        trial.live().await;
    }
}

async fn start_again(trial: &mut Trial<'_>) {
    if !trial.start().await {
        return;
    }
    trial.after("a start that succeeded");
    let ended = trial
        .begin_further_start()
        .finish(trial.limits().call)
        .await;
    trial.expect("start", ended.misconduct());
    trial.stop().await;
    trial.after("two starts, stop and dispose");
    trial.live().await;
}

async fn cancelled_start(trial: &mut Trial<'_>, polls: usize) -> Round {
    let limits = trial.limits();
    let (mut call, token) = trial.begin_start();
    if let Some(ended) = call.poll_times(polls, limits.call).await {
        return too_early(trial, &ended).await;
    }
    token.cancel();
    let ended = call.finish(limits.grace).await;
    trial.expect("a start that was cancelled", ended.misconduct());
    trial.after("a start that was cancelled");
    trial.undo(&ended).await;
    trial.live().await;
    Round::Continue(())
}

async fn dropped_start(trial: &mut Trial<'_>, polls: usize) -> Round {
    let limits = trial.limits();
    let (mut call, token) = trial.begin_start();
    if let Some(ended) = call.poll_times(polls, limits.call).await {
        return too_early(trial, &ended).await;
    }
    token.cancel();
    drop(call);
    trial.after("a start that was dropped");
    trial.close().await;
    trial.live().await;
    Round::Continue(())
}

/// The start has ended before the await point that was wanted: there are no more.
async fn too_early(trial: &mut Trial<'_>, ended: &Ended) -> Round {
    trial.expect("start", ended.trouble());
    trial.undo(ended).await;
    Round::Break(())
}

async fn dropped_stop(trial: &mut Trial<'_>, polls: usize) -> Round {
    if !trial.start().await {
        return Round::Break(());
    }
    let (mut call, _token) = trial.begin_stop(1);
    let ended = call.poll_times(polls, trial.limits().call).await;
    drop(call);
    if ended.is_some() {
        trial.close().await;
        return Round::Break(());
    }
    trial.after("a stop that was dropped");
    trial.close().await;
    trial.live().await;
    Round::Continue(())
}

async fn stop_again(trial: &mut Trial<'_>, polls: usize) -> Round {
    if !trial.start().await {
        return Round::Break(());
    }
    let limits = trial.limits();
    let (mut call, _token) = trial.begin_stop(1);
    let ended = call.poll_times(polls, limits.call).await;
    drop(call);
    if ended.is_some() {
        trial.close().await;
        return Round::Break(());
    }
    trial.after("a stop that was dropped");
    let (call, _token) = trial.begin_stop(2);
    let ended = call.finish(limits.call).await;
    trial.expect("stop", ended.trouble());
    trial.close().await;
    Round::Continue(())
}

async fn stop_after_success(trial: &mut Trial<'_>) {
    if !trial.start().await {
        return;
    }
    let limits = trial.limits();
    let (call, _token) = trial.begin_stop(1);
    let ended = call.finish(limits.call).await;
    if trial.expect("stop", ended.trouble()) {
        trial.after("a stop that succeeded");
        let (call, _token) = trial.begin_stop(2);
        let ended = call.finish(limits.call).await;
        trial.expect("stop", ended.misconduct());
    }
    trial.close().await;
}

/// Forced after `polls` await points.
async fn forced_stop(trial: &mut Trial<'_>, polls: usize) {
    if !trial.start().await {
        return;
    }
    let limits = trial.limits();
    let (mut call, token) = trial.begin_stop(1);
    let ended = match call.poll_times(polls, limits.call).await {
        Some(ended) => ended,
        None => {
            token.cancel();
            call.finish(limits.force).await
        }
    };
    trial.expect("a stop that is forced", ended.misconduct());
    trial.close().await;
}

async fn drain(trial: &mut Trial<'_>) {
    if !trial.drains() || !trial.start().await {
        return;
    }
    let limits = trial.limits();
    for (call, hook) in [
        (trial.begin_drain().0, "drain"),
        (trial.begin_resume(), "resume"),
        (trial.begin_drain().0, "the second drain"),
    ] {
        let ended = call.finish(limits.call).await;
        trial.expect(hook, ended.trouble());
    }
    trial.stop().await;
    cancelled_drain(trial).await;
}

async fn cancelled_drain(trial: &mut Trial<'_>) {
    if !trial.start().await {
        return;
    }
    let limits = trial.limits();
    let (mut call, token) = trial.begin_drain();
    if call.poll_times(1, limits.call).await.is_none() {
        token.cancel();
        let ended = call.finish(limits.grace).await;
        trial.expect("a drain that was cancelled", ended.misconduct());
    }
    trial.after("a drain that was cancelled");
    let ended = trial.begin_resume().finish(limits.call).await;
    trial.expect("resume", ended.trouble());
    trial.stop().await;
}

async fn health(trial: &mut Trial<'_>) {
    if !trial.start().await {
        return;
    }
    let ended = trial.begin_check().finish(trial.limits().call).await;
    trial.expect("a health check", ended.trouble());
    trial.stop().await;
}

async fn failing_dependent(suite: &Suite<'_>) -> Vec<String> {
    let mut findings = Vec::new();
    for (act, what) in [(Act::fail(), "failed"), (Act::panic(), "panicked")] {
        let mut trial = suite.trial();
        trial.after(format!("a dependent {what}"));
        let handle = orchestrator(suite, trial.component(), act);
        let trouble = rollback_trouble(&handle).await;
        trial.expect("the rollback", trouble);
        drop(handle);
        trial.look_for_leaks().await;
        findings.extend(trial.findings);
    }
    findings
}

/// The subject, and a dependent of it that does not start.
fn orchestrator(suite: &Suite<'_>, subject: Component, act: Act) -> Handle {
    let dependent = Scripted::new(DEPENDENT).starts([act]).registration();
    let mut builder = Orchestrator::builder();
    builder
        .register(Registration::new(suite.name.as_str(), subject))
        .register(dependent.depends_on([suite.name.as_str()]));
    let orchestrator = builder.build();
    orchestrator
        .expect("two components and an edge are a graph")
        .spawn()
}

async fn rollback_trouble(handle: &Handle) -> Option<String> {
    let failed = match handle.start().await {
        Err(StartError::Failed(failed)) => failed,
        other => return Some(format!("did not come about: {other:?}")),
    };
    match &*failed {
        engine::StartError::Failed {
            component,
            rollback,
            ..
        } if component.as_str() == DEPENDENT => {
            let troubles: Vec<_> = rollback.troubles.iter().map(ToString::to_string).collect();
            (!troubles.is_empty()).then(|| troubles.join("; "))
        }
        other => Some(format!("did not come about: {other}")),
    }
}
