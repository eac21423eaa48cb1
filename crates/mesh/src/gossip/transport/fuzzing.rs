//! The gate between bytes and messages, under whatever bytes.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use chitchat::ChitchatMessage;

use super::{Gate, LARGEST_DATAGRAM, is_answer};
use crate::gossip::keys::Keys;
use crate::gossip::refusal::LogLimit;
use crate::gossip::seal::Seal;

/// Which start of its node each seal is of.
const GENERATION: u64 = 1;

/// The room that a seal takes of a datagram.
const SEAL_BYTES: usize = 256;

pub(crate) fn admit(bytes: &[u8]) {
    let plain = passed(&mut gate(None), bytes);
    assert_eq!(passed(&mut gate(Some(seal("b"))), bytes), None);

    let mut sealed = Vec::new();
    // As a sender does: an answer says which start of its receiver it answers.
    let answers = plain.as_ref().filter(|it| is_answer(it));
    let answers = answers.and_then(|_| NonZeroU64::new(GENERATION));
    let written = seal("a").seal(&mut sealed, answers, |it| it.extend(bytes));
    written.expect("the system gives random bytes");
    if bytes.len() <= LARGEST_DATAGRAM - SEAL_BYTES {
        assert_eq!(passed(&mut gate(Some(seal("b"))), &sealed), plain);
    }
}

/// What comes of `bytes`, which are counted once.
fn passed(gate: &mut Gate, bytes: &[u8]) -> Option<ChitchatMessage> {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let passed = gate.admit(nobody, &mut bytes.to_vec());
    let it = gate.wire.traffic();
    let refused = it.malformed + it.foreign + it.unknown_key + it.forged + it.replayed;
    let counted = (it.received, refused + it.oversize_received);
    let is_passed = u64::from(passed.is_some());
    assert_eq!(counted, (is_passed, 1 - is_passed));
    passed
}

fn gate(seal: Option<Seal>) -> Gate {
    Gate {
        cluster_id: "c".into(),
        seal,
        wire: Arc::default(),
        heard: None,
        log_limit: LogLimit::default(),
    }
}

fn seal(node_id: &str) -> Seal {
    let ring = format!("1:{}", "00112233".repeat(8)).parse();
    let keys = Keys::new(ring.expect("a key is a ring"));
    let memory = Duration::from_secs(900);
    Seal::new(keys, "c".into(), memory, node_id.into(), GENERATION)
}
