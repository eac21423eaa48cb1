//! What a running component says of itself, and how it is asked (semantics 23).

use std::sync::Arc;

use crate::context::Report;
use crate::failure::Failure;
use crate::plan::ComponentId;
use crate::policy::RestartWhen;
use crate::time::Time;

use super::Engine;
use super::limit::timeout;
use super::message::{AttemptKey, CallOutcome, Command, EventKind, Limit, Reason, Verdict};
use super::slot::Phase;
use super::state::{ComponentState, Health};
use super::supervision::Loss;

impl Engine {
    /// Arms the next health check of `id`, if it has any. One that was lost while the host stops is not asked.
    pub(super) fn schedule_check(&mut self, now: Time, id: ComponentId) {
        if self.slot(id).state != ComponentState::Running {
            return;
        }
        let policies = self.plan.policies(id);
        let Some(check) = &policies.health_check else {
            return;
        };
        let due = now + check.every;
        self.arm(id, due, Limit::AttemptTimeout);
    }

    /// The deadline of a running component is for its health: a check is due, or one takes too long.
    pub(super) fn take_check_turn(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        let key = slot.key(id);
        let extra = slot.extra();
        let check = extra.check;
        if std::mem::replace(&mut extra.checking, false) {
            self.commands.push_back(Command::AbortCheck { key, check });
            self.schedule_check(now, id);
            self.miss_check(now, id, timeout("a health check", Limit::AttemptTimeout));
        } else if extra.check_unanswered {
            // The last one was dropped and is not gone yet: it blocks its thread.
            self.schedule_check(now, id);
            self.miss_check(now, id, timeout("a health check", Limit::AbortGrace));
        } else {
            self.begin_check(now, id);
        }
    }

    fn begin_check(&mut self, now: Time, id: ComponentId) {
        let Some(policy) = self.plan.policies(id).health_check.clone() else {
            return;
        };
        let deadline = now + policy.timeout;
        let slot = self.slot(id);
        let key = slot.key(id);
        let extra = slot.extra();
        extra.check += 1;
        extra.checking = true;
        extra.check_unanswered = true;
        let check = extra.check;
        self.commands.push_back(Command::Check {
            key,
            check,
            deadline,
        });
        self.arm(id, deadline, Limit::AttemptTimeout);
    }

    pub(super) fn end_check(
        &mut self,
        now: Time,
        key: AttemptKey,
        check: u32,
        outcome: CallOutcome,
    ) {
        let id = key.component;
        let slot = self.slot(id);
        let expected = slot.key(id) == key && slot.phase.is_up();
        let phase = slot.phase;
        let ends = slot.leaving || slot.state != ComponentState::Running;
        let Some(extra) = &mut slot.extra else { return };
        if !expected || extra.check != check {
            return;
        }
        extra.check_unanswered = false;
        if !std::mem::replace(&mut extra.checking, false) || ends {
            return;
        }
        if phase == Phase::Running {
            self.schedule_check(now, id);
        }
        match outcome {
            Ok(()) => self.pass_check(now, id),
            Err(failure) => self.miss_check(now, id, failure),
        }
    }

    fn pass_check(&mut self, now: Time, id: ComponentId) {
        let extra = self.slot(id).extra();
        extra.misses = 0;
        extra.check_failure = None;
        extra.refused = false;
        self.show_own_health(now, id);
    }

    fn miss_check(&mut self, now: Time, id: ComponentId, failure: Arc<Failure>) {
        let Some(policy) = self.plan.policies(id).health_check.clone() else {
            return;
        };
        let slot = self.slot(id);
        let key = slot.key(id);
        let extra = slot.extra();
        extra.misses = extra.misses.saturating_add(1);
        extra.check_failure = Some(Arc::clone(&failure));
        let misses = extra.misses;
        let kind = EventKind::CheckFailed {
            key,
            misses,
            failure: Arc::clone(&failure),
        };
        self.emit(now, Reason::Failed, None, kind);
        if misses < policy.misses {
            return;
        }
        let detail = Some(Arc::from(failure.message.as_str()));
        self.enter_health(now, id, Health::Unhealthy, detail);
        if policy.restart_on_unhealthy && self.shutdown.is_none() {
            self.restart_unhealthy(now, id, failure);
        }
    }

    /// A restart that the budget does not allow is refused before anything is stopped (semantics 22). What is never
    /// restarted is left alone, and so is what could not start again, since a hard dependency does not run.
    fn restart_unhealthy(&mut self, now: Time, id: ComponentId, failure: Arc<Failure>) {
        let never = self.plan.policies(id).restart.when == RestartWhen::Never;
        if never || self.missing_dependency(id).is_some() {
            return;
        }
        let verdict = self.charge(now, id, &failure);
        if verdict != Verdict::Final {
            self.lose(now, id, &Loss::Unhealthy(failure, verdict));
            return;
        }
        let budget = self.plan.policies(id).restart.budget;
        let slot = self.slot(id);
        let key = slot.key(id);
        if !std::mem::replace(&mut slot.extra().refused, true) {
            let kind = EventKind::RestartRefused { key, budget };
            self.emit(now, Reason::BudgetExhausted, None, kind);
        }
    }

    /// Takes in what a component says of itself.
    pub(super) fn take_report(&mut self, now: Time, key: AttemptKey, report: Report) {
        let id = key.component;
        let slot = self.slot(id);
        if slot.key(id) != key || slot.phase.is_down() {
            return;
        }
        let extra = slot.extra();
        match report {
            Report::Progress(label) => extra.progress = Some(label),
            Report::InFlight(count) => extra.in_flight = Some(count),
            Report::Degraded(reason) => {
                extra.degraded = reason;
                self.show_degraded(now, id);
            }
        }
    }

    /// Shows what a component has said before it ran, or says now; bad checks outweigh it.
    pub(super) fn show_degraded(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        if slot.state == ComponentState::Running && slot.health != Health::Unhealthy {
            self.show_own_health(now, id);
        }
    }

    fn show_own_health(&mut self, now: Time, id: ComponentId) {
        let extra = self.slot(id).extra.as_ref();
        let degraded = extra.and_then(|it| it.degraded.clone());
        let health = match degraded {
            Some(_) => Health::Degraded,
            None => Health::Healthy,
        };
        self.enter_health(now, id, health, degraded);
    }

    /// The one place where a component's health changes.
    fn enter_health(&mut self, now: Time, id: ComponentId, to: Health, detail: Option<Arc<str>>) {
        let slot = self.slot(id);
        let from = std::mem::replace(&mut slot.health, to);
        let key = slot.key(id);
        if from == to {
            return;
        }
        self.update_readiness(id);
        let kind = EventKind::HealthChanged {
            key,
            from,
            to,
            detail,
        };
        self.emit(now, Reason::Settled, None, kind);
    }
}
