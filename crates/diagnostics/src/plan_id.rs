//! What tells one plan from another.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lifecycle_core::Plan;

/// The identity of `plan`: another one when components are added or removed. The same text for the same plan within a
/// process; nothing is promised across builds.
pub(crate) fn plan_id(plan: &Plan) -> String {
    let mut hasher = DefaultHasher::new();
    // Places are never used twice: what was removed and added again is another component.
    plan.capacity().hash(&mut hasher);
    for id in plan.ids() {
        (id.index(), plan.name(id).as_str()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use lifecycle_core::{Defaults, Registration, component};

    use super::*;

    fn named(name: &str) -> Registration {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        Registration::new(name, idle)
    }

    #[test]
    fn a_plan_keeps_its_identity_and_has_another_when_components_come_and_go() {
        let compile = || {
            let registrations = vec![named("pool"), named("api")];
            Plan::compile(registrations, Defaults::default())
                .expect("a plan")
                .plan
        };
        let plan = compile();
        let before = plan_id(&plan);
        assert_eq!(plan_id(&compile()), before);
        let extended = plan.extended(named("tenant")).expect("it is new").plan;
        let added = plan_id(&extended);
        assert_ne!(added, before);
        let tenant = extended.find("tenant").expect("it was added");
        let removed = plan_id(&extended.without(&[tenant]));
        assert!(removed != added && removed != before);
    }
}
