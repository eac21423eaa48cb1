//! A plan of faults can be replayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lifecycle_core::engine::StopOutcome;
use lifecycle_core::{
    BoxError, Criticality, Lifecycle, Registration, Restart, Retry, StartContext, StopContext,
};
use lifecycle_testkit::conformance::{self, Check};
use lifecycle_testkit::{
    Act, FaultPlan, FaultProfile, Faulty, Hook, Moment, Record, Scripted, Trace, launch, simulate,
};

use crate::{panic_of, secs};

/// Everything that happens in one run of five components under `plan`.
fn trace_of(plan: &FaultPlan) -> Vec<String> {
    simulate(async {
        let components = (0..5).map(|it| {
            let before = (it > 0).then(|| format!("c{}", it - 1));
            Scripted::new(format!("c{it}"))
                .faults(plan)
                .registration()
                .start_retry(Retry::attempts(3).with_attempt_timeout(secs(2)))
                .criticality(Criticality::Optional)
                .depends_on(before)
        });
        let handle = launch(components);
        let mut trace = Trace::of(&handle);
        let _ = handle.start().await;
        tokio::time::sleep(secs(60)).await;
        let _ = handle.stop().await;
        trace.take()
    })
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_others() {
    let plan = |seed| FaultPlan::seeded(seed, FaultProfile::stormy());
    for seed in 0..20 {
        let first = trace_of(&plan(seed));
        assert!(first.len() > 5, "{first:?}");
        assert_eq!(first, trace_of(&plan(seed)), "{}", plan(seed));
    }
    assert_ne!(trace_of(&plan(1)), trace_of(&plan(2)));
}

#[test]
fn a_fault_goes_before_the_script() {
    simulate(async {
        let profile = FaultProfile {
            fail: 1.0,
            hooks: vec![Hook::Stop],
            ..FaultProfile::calm()
        };
        let db = Scripted::new("db")
            .stops([Act::succeed()])
            .faults(&FaultPlan::seeded(3, profile));
        let record: Record = db.record();
        let handle = launch([db.registration()]);
        handle.start().await.unwrap();
        handle.stop().await.unwrap_err();
        assert_eq!(record.count(Hook::Start, Moment::Succeeded), 1);
        assert_eq!(record.count(Hook::Stop, Moment::Failed), 1);
    });
}

#[test]
fn every_kind_of_fault_can_be_had() {
    let certain = |set: fn(&mut FaultProfile)| {
        let mut profile = FaultProfile::calm();
        set(&mut profile);
        FaultPlan::seeded(1, profile).fault("db", Hook::Start, 1, 1)
    };
    let faults = [
        certain(|it| it.fail = 1.0),
        certain(|it| it.fail_permanently = 1.0),
        certain(|it| it.panic = 1.0),
        certain(|it| it.hang_until_cancelled = 1.0),
        certain(|it| it.hang = 1.0),
        certain(|it| it.slow = 1.0),
        certain(|it| it.flap = 1.0),
        certain(|_| {}),
    ];
    let shown = faults.map(|it| it.map_or("none".to_owned(), |fault| format!("{fault:?}")));
    for (shown, kind) in shown.iter().zip([
        "Fail",
        "FailPermanently",
        "Panic",
        "HangUntilCancelled",
        "Hang",
        "Slow",
        "Flap",
        "none",
    ]) {
        assert!(shown.starts_with(kind), "{shown} is no {kind}");
    }
}

#[test]
fn a_plan_says_how_to_replay_it() {
    let plan = FaultPlan::seeded(42, FaultProfile::calm());
    let text = panic_of(|| panic!("{plan}"));
    assert!(text.contains("replay with seed 42"), "{text}");
    assert!(text.contains("LIFECYCLE_SEED=42"), "{text}");
    assert_eq!(plan.seed(), 42);
}

/// Holds one thing from start to dispose.
#[derive(Clone, Default)]
struct Pool(Arc<AtomicI64>);

impl Lifecycle for Pool {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        self.0.store(1, Ordering::SeqCst);
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.0.store(0, Ordering::SeqCst);
        Ok(())
    }
}

fn faulty(pool: &Pool, set: fn(&mut FaultProfile)) -> Faulty<Pool> {
    let mut profile = FaultProfile::calm();
    set(&mut profile);
    Faulty::new(pool.clone(), &FaultPlan::seeded(1, profile))
}

#[test]
fn a_component_of_the_users_without_a_fault_is_what_it_was() {
    let report = simulate(conformance::check(|| faulty(&Pool::default(), |_| {})));
    report.assert_ok();
    assert_eq!(report.passed, Check::ALL);
}

#[test]
fn a_component_of_the_users_gets_the_faults_of_the_plan() {
    simulate(async {
        let pool = Pool::default();
        let launched = |set| {
            let registration = Registration::new("pool", faulty(&pool, set));
            launch([registration.restart(Restart::never())])
        };
        for set in [
            (|it| it.fail = 1.0) as fn(&mut FaultProfile),
            |it| it.fail_permanently = 1.0,
            |it| it.panic = 1.0,
            |it| it.hang = 1.0,
            |it| it.hang_until_cancelled = 1.0,
        ] {
            launched(set).start().await.unwrap_err();
        }
        let flapping = launched(|it| it.flap = 1.0);
        flapping.start().await.unwrap();
        let report = flapping.wait().await.unwrap();
        assert_eq!(report.cause.as_ref().unwrap().as_str(), "pool");
        assert_eq!(pool.0.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn what_the_users_component_holds_is_released_although_its_stop_and_dispose_have_faults() {
    simulate(async {
        let pool = Pool::default();
        let failing = faulty(&pool, |it| {
            it.fail = 1.0;
            it.hooks = vec![Hook::Stop, Hook::Dispose];
        });
        let handle = launch([Registration::new("pool", failing)]);
        handle.start().await.unwrap();
        assert_eq!(pool.0.load(Ordering::SeqCst), 1);
        handle.stop().await.unwrap_err();
        let error = handle.force().await.unwrap_err();
        let trouble = &error.report().unwrap().troubles[0];
        assert_eq!(trouble.outcome, StopOutcome::Failed);
        assert!(trouble.dispose_failure.is_some());
        assert_eq!(pool.0.load(Ordering::SeqCst), 0);
    });
}
