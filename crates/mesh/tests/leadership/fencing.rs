//! No write with an old fencing token is accepted, ever.

use std::sync::Arc;
use std::time::Duration;

use mesh::leadership::{Fence, FencingToken, MemoryStore};
use proptest::prelude::*;

use crate::kit::{Ledger, Mood, Moody, Node};

#[tokio::test(start_paused = true)]
async fn a_leader_of_yesterday_that_goes_on_writing_is_refused() {
    let store = MemoryStore::new();
    let ledger = Ledger::default();
    let table = Arc::new(Fence::new(Vec::new()));
    let cut_off = Moody::new(store.clone());
    let first = Node::start("a", cut_off.clone(), &ledger).await;
    let old = first.leads().await.token;
    table.write(old).expect("it leads").push("a");

    // It hears nothing any more, and believes what it knew.
    cut_off.set(Mood::Silent);
    let second = Node::start("b", store, &ledger).await;
    let new = second.leads().await.token;
    table.write(new).expect("it leads now").push("b");

    let late = table.write(old).expect_err("superseded");
    assert_eq!(late.newest, new);
    assert_eq!(table.read(Vec::clone), ["a", "b"]);
    ledger.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn a_token_is_that_of_the_tenure_and_gone_with_it() {
    let store = Moody::new(MemoryStore::new());
    let node = Node::start("a", store.clone(), &Ledger::default()).await;
    let tenure = node.leads().await;
    assert!(tenure.remaining() > Duration::from_secs(3));
    store.set(Mood::Down);
    node.leads_no_more().await;
    assert!(tenure.remaining().is_zero());
}

proptest! {
    #[test]
    fn whatever_order_writes_come_in_accepted_tokens_never_fall(
        tokens in prop::collection::vec(0_u64..20, 1..100),
    ) {
        let fence = Fence::new(Vec::new());
        for token in tokens {
            if let Ok(mut written) = fence.write(FencingToken::new(token)) {
                written.push(token);
            }
        }
        let written = fence.read(Vec::clone);
        prop_assert!(written.is_sorted());
        prop_assert_eq!(written.last().copied(), Some(fence.newest().get()));
    }
}
