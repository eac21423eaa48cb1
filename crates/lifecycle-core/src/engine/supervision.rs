//! What follows when a component fails or ends by itself: a restart within its budget, or none (semantics 21, 22).

use std::collections::HashSet;
use std::sync::Arc;

use crate::failure::{Class, Failure, FailureKind};
use crate::plan::ComponentId;
use crate::policy::{self, RestartWhen};
use crate::registration::{Criticality, EdgeKind};
use crate::time::{Nanos, Time};

use super::Engine;
use super::message::{Call, EventKind, Reason, Verdict};
use super::slot::{Phase, Slot, Wanted};
use super::state::ComponentState;

/// How a running component was lost.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    /// A task of it failed.
    Failed(Arc<Failure>),
    /// Its own loop has come to its end.
    Completed,
    /// Its health checks failed, and it shall be restarted for that; the budget was asked before.
    Unhealthy(Arc<Failure>, Verdict),
}

impl Loss {
    fn reason(&self) -> Reason {
        match self {
            Self::Failed(_) => Reason::Lost,
            Self::Completed => Reason::Completed,
            Self::Unhealthy(..) => Reason::Unhealthy,
        }
    }

    fn failure(&self) -> Option<&Arc<Failure>> {
        match self {
            Self::Failed(failure) | Self::Unhealthy(failure, _) => Some(failure),
            Self::Completed => None,
        }
    }
}

impl Engine {
    /// A running component is lost: it goes down with its followers, and its policy says whether it comes back.
    pub(super) fn lose(&mut self, now: Time, id: ComponentId, loss: &Loss) {
        if self.slot(id).leaving || self.shutdown.is_some() {
            self.lose_in_descent(now, id, loss);
            return;
        }
        let verdict = match loss {
            Loss::Unhealthy(_, verdict) => *verdict,
            Loss::Failed(failure) => self.verdict(now, id, Some(failure)),
            Loss::Completed => self.verdict(now, id, None),
        };
        let reason = loss.reason();
        self.tell_loss(now, id, loss, verdict);
        self.plan_restart(now, id, reason, verdict);
        self.enter_lost(now, id, loss);
        let falling = self.bring_down(now, id, reason);
        match verdict {
            Verdict::Restart { .. } | Verdict::Follow => {}
            Verdict::Final if matches!(loss, Loss::Completed) && !self.always_restarts(id) => {
                self.slot(id).wanted = Wanted::Completed;
                self.strand(now, id, &falling);
            }
            Verdict::Final => {
                if matches!(loss, Loss::Completed) {
                    let message = "it has completed more often than its budget allows";
                    let failure = Arc::new(Failure::new(FailureKind::Lost, message));
                    let slot = self.slot(id);
                    slot.extra().loss = Some(Arc::clone(&failure));
                    slot.failure = Some(failure);
                }
                let motive = self.final_motive(id, reason);
                self.fail_for_good(now, id, motive);
                self.strand(now, id, &falling);
            }
        }
    }

    fn always_restarts(&self, id: ComponentId) -> bool {
        self.plan.policies(id).restart.when == RestartWhen::Always
    }

    /// Whoever needs `id`, which is gone for good, waits in vain: what waits already fails now, what goes down with it
    /// (`falling`) once it is down; an essential one among these stops everything at once.
    fn strand(&mut self, now: Time, id: ComponentId, falling: &[ComponentId]) {
        if self.shutdown.is_none() {
            self.fail_dependents(now, id);
        }
        self.stop_without_follower(now, falling);
    }

    /// What is lost while it goes down anyway is told; it changes nothing.
    fn lose_in_descent(&mut self, now: Time, id: ComponentId, loss: &Loss) {
        if self.slot(id).state != ComponentState::Running {
            return;
        }
        let comes_back = self.shutdown.is_none() && self.slot(id).wanted == Wanted::Up;
        let verdict = if comes_back {
            Verdict::Follow
        } else {
            Verdict::Final
        };
        self.tell_loss(now, id, loss, verdict);
        self.enter_lost(now, id, loss);
        if self.slot(id).phase == Phase::Running {
            // While the whole settles or drains it is not leaving yet, and has a check armed.
            self.timers.disarm(id);
        }
    }

    /// A component that is lost is shown so until its stop is called, which may have to wait for its followers. One that
    /// is unhealthy goes on until then.
    fn enter_lost(&mut self, now: Time, id: ComponentId, loss: &Loss) {
        let state = match loss {
            Loss::Completed => ComponentState::Stopped,
            Loss::Failed(_) => ComponentState::Faulted,
            Loss::Unhealthy(..) => return,
        };
        self.enter(now, id, state, loss.reason());
    }

    fn tell_loss(&mut self, now: Time, id: ComponentId, loss: &Loss, verdict: Verdict) {
        let failure = loss.failure().cloned();
        let slot = self.slot(id);
        if let Some(failure) = &failure {
            slot.failure = Some(Arc::clone(failure));
            slot.extra().loss = Some(Arc::clone(failure));
        }
        let key = slot.key(id);
        let cause = slot.cause;
        let kind = EventKind::Lost {
            key,
            failure,
            verdict,
        };
        self.emit(now, loss.reason(), cause, kind);
    }

    /// Notes when the next generation may begin. The delay counts from the loss (semantics 21).
    fn plan_restart(&mut self, now: Time, id: ComponentId, reason: Reason, verdict: Verdict) {
        let restart_at = match verdict {
            Verdict::Restart { delay, .. } => now + delay,
            // What is missing is further up, so that nothing else would hold it back.
            Verdict::Follow if self.slot(id).unmet == 0 => now + self.uncharged_delay(now, id),
            Verdict::Follow | Verdict::Final => Time::ZERO,
        };
        let slot = self.slot(id);
        slot.restart_at = restart_at;
        if verdict == Verdict::Final {
            return;
        }
        let restarts = &mut slot.extra().restarts;
        match reason {
            Reason::Completed => restarts.completed += 1,
            Reason::Unhealthy => restarts.unhealthy += 1,
            _ => restarts.lost += 1,
        }
    }

    /// What follows a failure of `id`, or with `None` its completion. A restart is charged here.
    pub(super) fn verdict(
        &mut self,
        now: Time,
        id: ComponentId,
        failure: Option<&Arc<Failure>>,
    ) -> Verdict {
        let when = self.plan.policies(id).restart.when;
        let restarts = match failure {
            Some(_) => when != RestartWhen::Never,
            None => when == RestartWhen::Always,
        };
        if !restarts || self.slot(id).quarantined {
            return Verdict::Final;
        }
        if failure.is_some()
            && let Some(missing) = self.missing_dependency(id)
        {
            self.slot(id).cause = Some(missing);
            return Verdict::Follow;
        }
        if failure.is_some_and(|it| it.class == Class::Permanent) {
            return Verdict::Final;
        }
        let completed = Arc::new(Failure::new(FailureKind::Lost, "it has completed"));
        self.charge(now, id, failure.unwrap_or(&completed))
    }

    /// Asks the budget for one restart more (invariant 12).
    pub(super) fn charge(&mut self, now: Time, id: ComponentId, failure: &Failure) -> Verdict {
        let plan = Arc::clone(&self.plan);
        let policy = &plan.policies(id).restart;
        let extra = self.slot(id).extra();
        while extra
            .charges
            .front()
            .is_some_and(|it| now.since(*it) >= policy.window)
        {
            extra.charges.pop_front();
        }
        if extra.charges.len() >= policy.budget as usize {
            return Verdict::Final;
        }
        extra.charges.push_back(now);
        let restarts = u32::try_from(extra.charges.len()).unwrap_or(u32::MAX);
        Verdict::Restart {
            delay: self.next_delay(now, id, failure),
            restarts,
        }
    }

    /// The delay before the next restart, which grows until the component has run for its stable period.
    fn next_delay(&mut self, now: Time, id: ComponentId, failure: &Failure) -> Nanos {
        let plan = Arc::clone(&self.plan);
        let policy = &plan.policies(id).restart;
        let slot = self.slot(id);
        let ran = slot.state == ComponentState::Running;
        let stable = ran && now.since(slot.since) >= policy.stable_period;
        let generation = slot.generation;
        let extra = slot.extra();
        extra.restart_step = if stable { 1 } else { extra.restart_step + 1 };
        let random = policy::random(
            plan.defaults().seed,
            id.index() as u64,
            u64::from(generation),
            // Another number than that of a start attempt of the same generation.
            u64::from(u32::MAX),
        );
        policy.delay_of(extra.restart_step, failure, random)
    }

    fn uncharged_delay(&mut self, now: Time, id: ComponentId) -> Nanos {
        let failure = self.slot(id).failure.clone();
        failure.map_or(Nanos::ZERO, |it| self.next_delay(now, id, &it))
    }

    /// A hard dependency, direct or not, that does not run: then a failure of `id` is charged to that (semantics 21).
    pub(super) fn missing_dependency(&self, id: ComponentId) -> Option<ComponentId> {
        let hard = |id: ComponentId| {
            let edges = self.plan.dependencies(id).iter();
            edges
                .filter(|it| it.kind == EdgeKind::Hard)
                .map(|it| it.component)
        };
        let gone = |id: &ComponentId| !self.slots[id.index()].available;
        let direct = hard(id).find(gone);
        // Whoever runs without a dependency is counted, so that mostly nobody further up need be asked.
        if direct.is_some() || self.impaired == 0 {
            return direct.map(|it| self.slots[it.index()].cause.unwrap_or(it));
        }
        let mut known = HashSet::from([id]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for dependency in hard(id) {
                if gone(&dependency) {
                    return Some(self.slots[dependency.index()].cause.unwrap_or(dependency));
                }
                if known.insert(dependency) {
                    open.push(dependency);
                }
            }
        }
        None
    }

    /// The start attempts of one generation are exhausted.
    pub(super) fn fail_sequence(&mut self, now: Time, id: ComponentId) {
        if self.is_being_added(id) {
            self.slot(id).wanted = Wanted::Removed;
            return;
        }
        if self.shutdown.is_some() {
            self.slot(id).start_failed = true;
            return;
        }
        let first = !self.slot(id).has_run;
        let essential = self.plan.criticality(id) == Criticality::Essential;
        if self.startup.is_some() && first && essential {
            self.fail_for_good(now, id, Reason::AttemptsExhausted);
            return;
        }
        let failure = self.slot(id).failure.clone();
        if self.is_spoiled(id) && !self.slot(id).quarantined {
            self.fail_for_good(now, id, Reason::AttemptsExhausted);
            return;
        }
        let verdict = self.verdict(now, id, failure.as_ref());
        match verdict {
            Verdict::Restart { delay, .. } => {
                let key = self.slot(id).key(id);
                let kind = EventKind::RetryScheduled {
                    call: Call::Start,
                    key,
                    delay,
                };
                self.emit(now, Reason::AttemptsExhausted, None, kind);
                self.plan_restart(now, id, Reason::Lost, verdict);
                self.slot(id).motive = Reason::RestartDue;
                self.settle_failing(id);
            }
            Verdict::Follow => {
                self.plan_restart(now, id, Reason::Lost, verdict);
                self.slot(id).motive = Reason::DependenciesReady;
                self.settle_failing(id);
            }
            Verdict::Final => {
                let motive = self.final_motive(id, Reason::AttemptsExhausted);
                self.fail_for_good(now, id, motive);
            }
        }
    }

    /// Why the last failure of `id` is final.
    fn final_motive(&self, id: ComponentId, otherwise: Reason) -> Reason {
        let slot = &self.slots[id.index()];
        if slot.quarantined {
            return Reason::Quarantined;
        }
        let policy = &self.plan.policies(id).restart;
        let failure = slot.failure.as_ref();
        let permanent = failure.is_some_and(|it| it.class == Class::Permanent);
        // Neither asks the budget.
        if permanent || policy.when == RestartWhen::Never {
            return otherwise;
        }
        let charges = slot.extra.as_ref().map_or(0, |it| it.charges.len());
        if charges >= policy.budget as usize {
            return Reason::BudgetExhausted;
        }
        otherwise
    }

    /// `id` has failed for good. If the host cannot go on without it, everything is stopped.
    pub(super) fn fail_for_good(&mut self, now: Time, id: ComponentId, motive: Reason) {
        let slot = self.slot(id);
        slot.wanted = Wanted::Failed;
        slot.start_failed = true;
        slot.motive = motive;
        slot.restart_at = Time::ZERO;
        self.stop_if_essential(now, id);
    }

    /// The host cannot go on without an essential component: a start is rolled back, otherwise everything is stopped.
    pub(super) fn stop_if_essential(&mut self, now: Time, id: ComponentId) {
        if self.shutdown.is_some() || self.plan.criticality(id) != Criticality::Essential {
            return;
        }
        let reason = if self.startup.is_some() {
            Reason::Rollback
        } else {
            Reason::EssentialLost
        };
        self.stop_without(now, id, reason);
    }

    /// An essential component that goes down with one that is gone for good waits in vain: it is lost with it. One that
    /// is just being added is taken out again instead.
    fn stop_without_follower(&mut self, now: Time, falling: &[ComponentId]) {
        let essential = falling.iter().skip(1).find(|id| {
            let waits = self.slots[id.index()].wanted == Wanted::Up && !self.is_being_added(**id);
            waits && self.plan.criticality(**id) == Criticality::Essential
        });
        if let Some(&id) = essential {
            self.stop_if_essential(now, id);
        }
    }

    /// What has failed for good and has nothing up is shown so, and passes it on.
    pub(super) fn rest_failed(&mut self, now: Time, id: ComponentId) {
        if self.shutdown.is_some() {
            self.enter(
                now,
                id,
                ComponentState::Faulted,
                self.slots[id.index()].motive,
            );
            self.settle(id);
        } else {
            self.rest(now, id);
        }
    }

    /// A hard dependency of `id` that has failed or completed for good, or is being taken out.
    pub(super) fn dead_dependency(&self, id: ComponentId) -> Option<ComponentId> {
        let hard = self.plan.dependencies(id).iter();
        let dead = |slot: &Slot| slot.wanted.is_gone() && !slot.available;
        hard.filter(|it| it.kind == EdgeKind::Hard)
            .map(|it| it.component)
            .find(|it| dead(&self.slots[it.index()]))
    }

    /// `id` does not run yet, and who waits for it by an edge that is not hard need not wait longer (semantics 9).
    pub(super) fn settle_without(&mut self, id: ComponentId) {
        self.settle(id);
        self.release_soft(id);
        self.settle_those_behind(id);
    }

    /// The start attempts of `id` are exhausted and there will be others. A start of the whole goes on without it, unless
    /// it is essential and has been lost before: that must be mended first.
    fn settle_failing(&mut self, id: ComponentId) {
        if self.plan.criticality(id) != Criticality::Essential {
            self.settle(id);
        }
        self.release_soft(id);
        self.settle_those_behind(id);
    }

    /// Whether a start of the whole goes on without `id`, which waits for what has settled without running: an essential
    /// one it waits for, unless somebody wants it so that what is behind it stays down.
    fn may_settle_waiting(&self, id: ComponentId) -> bool {
        let essential = self.plan.criticality(id) == Criticality::Essential;
        !essential || self.unwanted_dependency(id).is_some()
    }

    /// Whoever may and waits for `id`, which did not come up at its first try, holds a start up no longer.
    fn settle_those_behind(&mut self, id: ComponentId) {
        let mut open = vec![id];
        let plan = Arc::clone(&self.plan);
        while let Some(id) = open.pop() {
            let hard = plan
                .dependents(id)
                .iter()
                .filter(|it| it.kind == EdgeKind::Hard);
            for edge in hard {
                let dependent = edge.component;
                let slot = self.slot(dependent);
                let waits = slot.phase == Phase::Waiting && !slot.has_run && !slot.released;
                if waits && self.may_settle_waiting(dependent) {
                    self.settle(dependent);
                    self.release_soft(dependent);
                    open.push(dependent);
                }
            }
        }
    }

    /// `id` has run and goes down: a start of the whole waits for whoever waits for it as little as for itself.
    pub(super) fn settle_behind_lost(&mut self, id: ComponentId) {
        if self.startup.is_some() && self.slot(id).released {
            self.settle_those_behind(id);
        }
    }

    /// `id` waits: if what it waits for has settled without running, and the start may go on without `id`, so has `id`.
    pub(super) fn settle_while_waiting(&mut self, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let hard = plan.dependencies(id).iter();
        let behind = hard.filter(|it| it.kind == EdgeKind::Hard).any(|it| {
            let slot = &self.slots[it.component.index()];
            slot.released && !slot.available
        });
        if !behind || !self.may_settle_waiting(id) {
            return;
        }
        self.settle_without(id);
        if self.startup.is_some() && self.unwanted_dependency(id).is_some() {
            self.settle_behind_unwanted(id);
        }
    }

    /// Somebody wants it so that `id` stays down: no start of the whole waits for what is behind it, however far, also
    /// where that has settled before.
    pub(super) fn settle_behind_unwanted(&mut self, id: ComponentId) {
        for waiting in self.waiting_behind(id) {
            let waits = self.slot(waiting).phase == Phase::Waiting;
            if waits && self.may_settle_waiting(waiting) {
                self.settle(waiting);
                self.release_soft(waiting);
            }
        }
    }
}
