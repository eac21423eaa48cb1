//! What tells plans apart, in the same way in every process.

use super::Plan;

/// The 64 bits of FNV-1a: the standard library's hashers promise no number that another process would find too.
struct Fnv(u64);

impl Fnv {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;

    fn add(&mut self, text: &str) {
        for byte in text.bytes().map(|it| it.to_ascii_lowercase()).chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(Self::PRIME);
        }
    }
}

/// Takes time linear in components and edges.
pub(super) fn of(plan: &Plan) -> u64 {
    let mut hash = Fnv(Fnv::OFFSET);
    for &id in plan.order() {
        hash.add(plan.name(id).as_str());
        hash.add(plan.criticality(id).as_str());
        for edge in plan.dependencies(id) {
            hash.add(plan.name(edge.component).as_str());
            hash.add(edge.kind.as_str());
            hash.add(edge.on_loss.as_str());
        }
        hash.add("");
    }
    for (alias, id) in &plan.aliases {
        hash.add(alias.as_str());
        hash.add(plan.name(*id).as_str());
    }
    hash.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{Defaults, Plan, Registration, component};

    fn named(name: &str) -> Registration {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        Registration::new(name, idle)
    }

    fn plan(registrations: Vec<Registration>) -> Arc<Plan> {
        let compiled = Plan::compile(registrations, Defaults::default());
        compiled.expect("a plan").plan
    }

    #[test]
    fn plans_with_the_same_components_and_edges_have_the_same_number_and_others_do_not() {
        let small = || plan(vec![named("db"), named("api").depends_on(["db"])]);
        let number = small().fingerprint();
        assert_eq!(number, small().fingerprint());
        let others = [
            vec![named("db"), named("api")],
            vec![named("db"), named("api").wants(["db"])],
            vec![named("db"), named("api").tolerates(["db"])],
            vec![named("db"), named("app").depends_on(["db"])],
            vec![named("db"), named("api").depends_on(["db"]), named("log")],
        ];
        for other in others {
            assert_ne!(plan(other).fingerprint(), number);
        }
    }

    #[test]
    fn what_is_added_and_removed_again_leaves_the_number_as_it_was() {
        let before = plan(vec![named("db")]);
        let extended = before.extended(named("log")).expect("it fits");
        assert_ne!(extended.plan.fingerprint(), before.fingerprint());
        let after = extended.plan.without(&[extended.id]);
        assert_eq!(after.fingerprint(), before.fingerprint());
    }
}
