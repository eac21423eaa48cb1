//! Tasks and tokens of a generation.

use std::future;
use std::sync::{Arc, Mutex};

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::engine::{ComponentState, Reason, StartError, StopOutcome};
use lifecycle_core::{
    BoxError, Component, Criticality, FailureKind, Registration, ServiceContext, StartContext,
};
use tokio_util::sync::CancellationToken;

use crate::kit::*;

/// A component whose start does `start` and whose stop does nothing.
fn starting(start: impl Fn(StartContext) + Send + Sync + 'static) -> Component {
    from_fn(
        move |cx| {
            start(cx);
            future::ready(Ok(()))
        },
        async |_| Ok(()),
    )
}

fn optional(name: &str, component: Component) -> Registration {
    Registration::new(name, component).criticality(Criticality::Optional)
}

#[tokio::test(start_paused = true)]
async fn contract_b02_a_task_is_cancelled_by_the_run_token_and_joined_before_the_stop_is_over() {
    let journal = Journal::default();
    let component = starting({
        let journal = journal.clone();
        move |cx| {
            let (token, life, journal) = (cx.run_token(), journal.life(), journal.clone());
            cx.spawn("loop", async move {
                token.cancelled().await;
                tokio::time::sleep(ms(50)).await;
                journal.note("loop ended");
                drop(life);
            });
        }
    });
    let handle = run([Registration::new("a", component)]);
    handle.start().await.unwrap();
    assert_eq!(journal.alive(), 1);
    handle.stop().await.unwrap();
    assert_eq!(journal.take(), "loop ended");
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_each_component_are_counted_while_they_are_alive() {
    let two = starting(|cx| {
        for name in ["one", "two"] {
            let token = cx.run_token();
            cx.spawn(name, async move { token.cancelled().await });
        }
    });
    let serving = service(async |cx: ServiceContext| {
        cx.ready();
        cx.cancelled().await;
    });
    let handle = run([
        Registration::new("two", two),
        Registration::new("loop", serving),
        Registration::new("idle", starting(|_| {})),
    ]);
    let plan = handle.snapshot().await.unwrap().plan;
    let ids: Vec<_> = ["two", "loop", "idle"]
        .map(|it| plan.find(it).unwrap())
        .into();
    let before = handle.tasks(ids.clone()).await.unwrap();
    assert_eq!(before.components, [0, 0, 0]);

    handle.start().await.unwrap();
    let running = handle.tasks(ids.clone()).await.unwrap();
    assert_eq!(running.components, [2, 1, 0]);
    assert_eq!(running.runtime, before.runtime + 3);

    handle.stop().await.unwrap();
    assert_eq!(handle.tasks(ids).await.unwrap().components, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_the_token_is_aborted_and_reported() {
    let journal = Journal::default();
    let component = starting({
        let journal = journal.clone();
        move |cx| {
            let life = journal.life();
            cx.spawn("deaf", async move {
                future::pending::<()>().await;
                drop(life);
            });
        }
    });
    let handle = run([Registration::new("a", component)]);
    handle.start().await.unwrap();
    let error = handle.stop().await.unwrap_err();
    let trouble = &error.report().unwrap().troubles[0];
    assert_eq!(trouble.outcome, StopOutcome::Aborted);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_panics_is_a_loss_and_one_that_returns_is_nothing() {
    async fn after<T>(outcome: impl FnOnce() -> T) -> T {
        tokio::time::sleep(ms(10)).await;
        outcome()
    }
    let returns = starting(|cx| cx.spawn("returns", after(|| ())));
    let fails = starting(|cx| cx.spawn("fails", after(|| Err::<(), BoxError>("lost it".into()))));
    let panics = starting(|cx| cx.spawn("panics", after(|| -> () { panic!("oh") })));
    let handle = run([
        optional("returns", returns),
        optional("fails", fails),
        optional("panics", panics),
    ]);
    handle.start().await.unwrap();
    tokio::time::sleep(ms(20)).await;
    let snapshot = handle.snapshot().await.unwrap();
    let row = |name| {
        snapshot
            .component(snapshot.plan.find(name).unwrap())
            .clone()
    };
    assert_eq!(row("returns").state, ComponentState::Running);
    assert_eq!(row("fails").failure.unwrap().message, "lost it");
    assert_eq!(row("panics").failure.unwrap().kind, FailureKind::Panic);
    assert_eq!(row("panics").reason, Reason::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_spawns_another_leaves_neither() {
    let journal = Journal::default();
    let component = starting({
        let journal = journal.clone();
        move |cx| {
            let (outer, inner) = (journal.life(), journal.life());
            let nested = cx.clone();
            cx.spawn("outer", async move {
                let token = nested.run_token();
                nested.spawn("inner", async move {
                    token.cancelled().await;
                    drop(inner);
                });
                nested.run_token().cancelled().await;
                drop(outer);
            });
        }
    });
    let handle = run([Registration::new("a", component)]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_comes_after_the_end_is_dropped_unpolled() {
    let kept: Arc<Mutex<Option<StartContext>>> = Arc::default();
    let component = starting({
        let kept = Arc::clone(&kept);
        move |cx| *kept.lock().unwrap() = Some(cx)
    });
    let handle = run([Registration::new("a", component)]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();

    let journal = Journal::default();
    let (life, notes) = (journal.life(), journal.clone());
    let late = kept.lock().unwrap().take().unwrap();
    assert!(late.run_token().is_cancelled());
    late.spawn("late", async move {
        notes.note("polled");
        drop(life);
    });
    assert_eq!(journal.alive(), 0);
    tokio::time::sleep(ms(1)).await;
    assert_eq!(journal.take(), "");
}

#[tokio::test(start_paused = true)]
async fn museum_02_and_37_the_three_tokens_are_never_the_same() {
    type Tokens = Arc<Mutex<Vec<CancellationToken>>>;
    let tokens: Tokens = Arc::default();
    let start = {
        let tokens = Arc::clone(&tokens);
        move |cx: StartContext| {
            tokens.lock().unwrap().extend([cx.token(), cx.run_token()]);
            future::ready(Ok(()))
        }
    };
    let stop = {
        let tokens = Arc::clone(&tokens);
        move |cx: lifecycle_core::StopContext| {
            let tokens = Arc::clone(&tokens);
            async move {
                let seen: Vec<bool> = {
                    let mut tokens = tokens.lock().unwrap();
                    tokens.push(cx.token());
                    tokens.iter().map(CancellationToken::is_cancelled).collect()
                };
                // The run token alone, as stop is entered (semantics 17).
                assert_eq!(seen, [false, true, false]);
                cx.forced().await;
                Ok(())
            }
        }
    };
    let handle = run([Registration::new("a", from_fn(start, stop))]);
    handle.start().await.unwrap();
    assert!(tokens.lock().unwrap().iter().all(|it| !it.is_cancelled()));
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    reach(&handle, "a", ComponentState::Stopping).await;
    handle.force().await.unwrap();
    stopping.await.unwrap().unwrap();
    let seen: Vec<bool> = tokens
        .lock()
        .unwrap()
        .iter()
        .map(CancellationToken::is_cancelled)
        .collect();
    assert_eq!(seen, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_call_knows_how_long_it_has() {
    let seen = Arc::new(Mutex::new(None));
    let component = starting({
        let seen = Arc::clone(&seen);
        move |cx| *seen.lock().unwrap() = cx.remaining()
    });
    run([Registration::new("a", component)])
        .start()
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(ms(30_000)));
}

fn failing_service<F, Fut>(run: F) -> Registration
where
    F: Fn(ServiceContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Registration::new("a", service(run))
}

async fn failure_of(registration: Registration) -> String {
    let handle = run([registration]);
    match &*refusal(handle.start().await) {
        StartError::Failed { failure, .. } => failure.to_string(),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn semantics_08_a_service_that_ends_before_it_is_ready_has_failed_to_start() {
    let returns = failing_service(async |_| Ok(()));
    let fails = failing_service(async |_| Err("no port".into()));
    let panics = failing_service(async |_| panic!("oh"));
    let drops = failing_service(async |cx| {
        drop(cx);
        future::pending().await
    });
    assert_eq!(
        failure_of(returns).await,
        "the service returned before it was ready"
    );
    assert_eq!(failure_of(fails).await, "no port");
    assert!(failure_of(panics).await.ends_with("oh"));
    assert_eq!(
        failure_of(drops).await,
        "the service dropped its context before it was ready"
    );
}

#[tokio::test(start_paused = true)]
async fn semantics_08_a_service_that_fails_after_it_is_ready_is_lost() {
    let handle = run([failing_service(async |cx| {
        cx.ready();
        Err("gone".into())
    })
    .criticality(Criticality::Optional)]);
    handle.start().await.unwrap();
    reach(&handle, "a", ComponentState::Faulted).await;
}

#[tokio::test(start_paused = true)]
async fn semantics_08_a_service_that_returns_after_it_is_ready_has_completed() {
    let handle = run([failing_service(async |cx| {
        cx.ready();
        tokio::time::sleep(ms(10)).await;
        Ok(())
    })
    .criticality(Criticality::Optional)]);
    handle.start().await.unwrap();
    reach(&handle, "a", ComponentState::Stopped).await;
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_failed_attempt_are_gone_before_the_next_one() {
    let journal = Journal::default();
    let component = from_fn(
        {
            let journal = journal.clone();
            move |cx: StartContext| {
                let journal = journal.clone();
                async move {
                    journal.note(format!("alive {}", journal.alive()));
                    let (life, token) = (journal.life(), cx.run_token());
                    cx.spawn("loop", async move {
                        token.cancelled().await;
                        tokio::time::sleep(ms(5)).await;
                        drop(life);
                    });
                    if cx.attempt() < 3 {
                        return Err("not yet".into());
                    }
                    Ok(())
                }
            }
        },
        async |_| Ok(()),
    );
    let retry = lifecycle_core::Retry::attempts(3);
    let handle = run([Registration::new("a", component).start_retry(retry)]);
    handle.start().await.unwrap();
    assert_eq!(journal.take(), "alive 0, alive 0, alive 0");
    assert_eq!(journal.alive(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_yet_ends_in_time_when_the_start_is_stopped() {
    let handle = run([failing_service(async |cx| {
        cx.cancelled().await;
        drop(cx);
        Ok(())
    })]);
    let starting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.start().await }
    });
    reach(&handle, "a", ComponentState::Starting).await;
    handle.stop().await.expect("the service heeds its token");
    refusal(starting.await.unwrap());
}
