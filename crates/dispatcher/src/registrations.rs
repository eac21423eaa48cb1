//! The moving parts of a dispatcher as registrations: names, edges and policies. Nothing here starts or stops anything, or knows
//! in which order that is done.
//!
//! | component | edges | criticality |
//! |---|---|---|
//! | `service:key:shape`, an outbound | none | degradable |
//! | an inbound | order alone: after every outbound, and what the host names | essential |
//! | what was added | its own | its own |

use std::collections::HashMap;

use lifecycle_core::{Criticality, Registration, Retry};

use crate::builder::Bound;
use crate::dispatcher::Dispatcher;
use crate::inbound::{Inbound, Named};
use crate::introspect::{ComponentRow, Role};
use crate::outbound::Outbound;

/// When inbounds open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// After everything that they serve by, whatever became of it; and they close before that.
    #[default]
    Last,
    /// At once, as the original did: calls may come before there is a way to answer them.
    Open,
}

/// What a builder has collected of moving parts.
#[derive(Default)]
pub(crate) struct Moving {
    pub(crate) outbounds: Vec<Outbound>,
    pub(crate) inbounds: Vec<Inbound>,
    pub(crate) inbounds_after: Vec<String>,
    pub(crate) gate: Gate,
    pub(crate) components: Vec<Bound>,
    /// For what says nothing itself.
    pub(crate) start: Retry,
    pub(crate) stop: Retry,
}

impl Moving {
    /// All of them: inbounds, what was added, and outbounds, as the original registered them.
    /// And what is told of them.
    pub(crate) fn registrations(
        self,
        dispatcher: &Dispatcher,
    ) -> (Vec<Registration>, Vec<ComponentRow>) {
        let outbounds: Vec<_> = self.outbounds.iter().filter_map(outbound).collect();
        let mut before_inbounds = self.inbounds_after;
        before_inbounds.extend(outbounds.iter().map(|it| it.name.clone()));
        if self.gate == Gate::Open {
            before_inbounds.clear();
        }

        let mut places = HashMap::new();
        let inbounds = self.inbounds.into_iter().map(|it| {
            let name = inbound_name(&it.name, &mut places);
            Registration::new(name, (it.make)(dispatcher.clone()))
                .after(&before_inbounds)
                .start_retry(it.start)
                .stop_retry(it.stop)
        });
        let mut all: Vec<_> = inbounds.collect();
        let added = all.len();
        all.extend(self.components.into_iter().map(|it| it(dispatcher.clone())));
        let from = all.len();
        all.extend(outbounds);
        let role = |place: usize| match place {
            _ if place < added => Role::Inbound,
            _ if place < from => Role::Component,
            _ => Role::Outbound,
        };
        let roles = all.iter().enumerate();
        let roles: HashMap<_, _> = roles
            .map(|(place, it)| (it.name.clone(), role(place)))
            .collect();

        let mut all = once_each(all);
        for registration in &mut all {
            complete(&mut registration.start, &self.start);
            complete(&mut registration.stop, &self.stop);
        }
        let rows = all.iter().map(|it| ComponentRow::new(it, roles[&it.name]));
        let rows = rows.collect();
        (all, rows)
    }
}

/// A component that sets a policy has that one, and no field of another: a mixture may contradict itself.
fn complete(own: &mut Retry, default: &Retry) {
    if *own == Retry::default() {
        own.clone_from(default);
    }
}

fn inbound_name(name: &Named, places: &mut HashMap<&'static str, usize>) -> String {
    match name {
        Named::Given(name) => name.clone(),
        Named::Kind(kind) => {
            let place = places.entry(kind).or_default();
            let name = format!("{kind}:{place}");
            *place += 1;
            name
        }
    }
}

/// One component under its first name, with the others as aliases.
fn outbound(outbound: &Outbound) -> Option<Registration> {
    let mut names = outbound.shapes.iter().map(|it| outbound.name(*it));
    let registration = Registration::new(names.next()?, outbound.component.clone())
        .criticality(Criticality::Degradable)
        .start_retry(outbound.start.clone())
        .stop_retry(outbound.stop.clone());
    Some(names.fold(registration, Registration::alias))
}

/// Makes one registration of those that are the same instance: it keeps the first name, and has the edges of all.
fn once_each(all: Vec<Registration>) -> Vec<Registration> {
    let mut kept: Vec<Registration> = Vec::with_capacity(all.len());
    for next in all {
        let same = |it: &&mut Registration| it.component.is_same(&next.component);
        let Some(first) = kept.iter_mut().find(same) else {
            kept.push(next);
            continue;
        };
        first.aliases.push(next.name);
        first.aliases.extend(next.aliases);
        first.dependencies.extend(next.dependencies);
    }
    kept
}
