//! The last events, for whoever asks later.

use lifecycle_core::engine::{ComponentState, Event, EventKind, OrchestratorState};
use lifecycle_runtime::Notice;

use crate::kit::*;

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|it| it.sequence).collect()
}

#[tokio::test(start_paused = true)]
async fn the_history_has_every_event_from_the_first_on_and_survives_the_driver() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal), plain("b", &journal)]);
    assert_eq!(handle.history(), []);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    let history = handle.history();
    let last = status(&handle).sequence;
    assert_eq!(sequences(&history), (1..=last).collect::<Vec<_>>());
    assert!(matches!(
        history[0].kind,
        EventKind::Orchestrator {
            to: OrchestratorState::Starting,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_history_keeps_the_last_events_as_many_as_were_asked_for() {
    let journal = Journal::default();
    for (limit, kept) in [(3, 3), (0, 0)] {
        let handle = run_with([plain("a", &journal)], |it| {
            it.history(limit);
        });
        handle.start().await.unwrap();
        handle.stop().await.unwrap();
        let history = handle.history();
        assert_eq!(history.len(), kept);
        let last = status(&handle).sequence;
        let expected: Vec<_> = (last + 1 - kept as u64..=last).collect();
        assert_eq!(sequences(&history), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn between_the_history_and_a_subscription_that_was_made_before_it_nothing_is_missing() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal), plain("b", &journal).depends_on(["a"])]);
    let starting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.start().await }
    });
    // In the middle of the start.
    reach(&handle, "a", ComponentState::Running).await;
    let mut subscription = handle.subscribe();
    let history = handle.history();
    starting.await.unwrap().unwrap();
    handle.stop().await.unwrap();
    let last = status(&handle).sequence;

    let mut seen = sequences(&history);
    while seen.last() != Some(&last) {
        match subscription.next().await {
            Some(Notice::Event(event)) if seen.last() < Some(&event.sequence) => {
                seen.push(event.sequence);
            }
            Some(Notice::Event(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, (1..=last).collect::<Vec<_>>());
}
