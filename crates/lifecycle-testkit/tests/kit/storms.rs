//! The runtime under plans of faults, watched by the oracle: tests of the runtime that need the kit.

use lifecycle_core::engine::ComponentState;
use lifecycle_core::{Backoff, Criticality, Dependency, Registration, Retry};
use lifecycle_runtime::Orchestrator;
use lifecycle_testkit::{
    Act, FaultPlan, FaultProfile, Hook, LeakGuard, Oracle, Record, Scripted, TaskAct, launch,
    simulate, watch,
};

use crate::{ms, secs};

const COMPONENTS: usize = 12;

fn storm() -> FaultProfile {
    FaultProfile {
        hooks: Hook::ALL.to_vec(),
        ..FaultProfile::stormy()
    }
}

/// A graph that the seed chooses too: hard, soft and ordering edges to components before.
fn registrations(plan: &FaultPlan) -> (Vec<Registration>, Vec<Record>) {
    let build = |index: usize| {
        let scripted = Scripted::new(format!("c{index}"))
            .faults(plan)
            .starts([Act::succeed().leaving(TaskAct::Linger(ms(30)))]);
        let scripted = if index.is_multiple_of(3) {
            scripted.fresh()
        } else {
            scripted
        };
        let record = scripted.record();
        let mut registration = scripted
            .registration()
            .start_retry(
                Retry::attempts(3)
                    .with_backoff(Backoff::Fixed(ms(50).into()))
                    .with_attempt_timeout(secs(2)),
            )
            .stop_retry(Retry::attempts(2).with_attempt_timeout(secs(1)))
            .criticality(Criticality::Optional);
        let mixed = plan.seed().wrapping_mul(31).wrapping_add(index as u64);
        for step in [1, 2 + mixed % 3, 5] {
            let Some(other) = index.checked_sub(usize::try_from(step).unwrap()) else {
                continue;
            };
            let name = format!("c{other}");
            let edge = match (mixed + step) % 4 {
                0 => Dependency::hard(name),
                1 => Dependency::hard(name).tolerates(),
                2 => Dependency::soft(name),
                _ => Dependency::order(name),
            };
            if !registration
                .dependencies
                .iter()
                .any(|it| it.name == edge.name)
            {
                registration = registration.dependencies([edge]);
            }
        }
        (registration, record)
    };
    (0..COMPONENTS).map(build).unzip()
}

/// Two runs under the plan of `seed`; the second is stopped while it starts, or forced.
async fn weather(seed: u64) {
    let plan = FaultPlan::from_env(seed, storm());
    let _replay = plan.note_on_panic();
    let guard = LeakGuard::new();
    let (registrations, records) = registrations(&plan);
    let handle = launch(registrations);
    let oracle = Oracle::watch(&handle);
    let _ = handle.start().await;
    tokio::time::sleep(secs(20)).await;
    let _ = handle.stop().await;
    let _ = handle.force().await;

    let starting = handle.clone();
    let start = tokio::spawn(async move { starting.start().await });
    tokio::time::sleep(ms(seed % 700)).await;
    if seed.is_multiple_of(2) {
        let _ = handle.stop().await;
    }
    let _ = handle.force().await;
    let _ = start.await;

    oracle.assert_ok().await;
    records.iter().for_each(Record::assert_no_leak);
    drop(handle);
    guard.assert_no_leaks().await;
}

#[test]
fn no_promise_is_broken_under_two_hundred_plans_of_faults() {
    for seed in 0..200 {
        simulate(weather(seed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_promise_is_broken_when_components_block_their_threads() {
    let db = Scripted::new("db").starts([Act::succeed()]);
    let cache = Scripted::new("cache").stops([Act::block()]);
    let record = cache.record();
    let handle = launch([
        db.registration(),
        cache
            .registration()
            .depends_on(["db"])
            .stop_retry(Retry::none().with_attempt_timeout(ms(50)))
            .abort_grace(ms(20)),
    ]);
    let oracle = Oracle::watch(&handle);
    handle.start().await.unwrap();
    handle.stop().await.unwrap_err();
    oracle.assert_ok().await;
    record.release();
}

#[test]
fn ten_thousand_components_are_followed_and_what_is_missed_is_taken_from_a_snapshot() {
    for capacity in [64, 100_000] {
        simulate(async {
            let mut builder = Orchestrator::builder();
            builder.event_capacity(capacity);
            builder.registrations((0..10_000).map(|it| {
                let before = (it > 0).then(|| format!("c{}", it / 2));
                let before = before.filter(|name| *name != format!("c{it}"));
                Scripted::new(format!("c{it}"))
                    .registration()
                    .depends_on(before)
            }));
            let handle = builder.build().unwrap().spawn();
            watch(&handle);
            let oracle = Oracle::watch(&handle);
            handle.start().await.unwrap();
            assert_eq!(handle.status().get().count(ComponentState::Running), 10_000);
            handle.stop().await.unwrap();
            oracle.assert_ok().await;
        });
    }
}
