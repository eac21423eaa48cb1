//! The seal around each datagram between nodes: who does not hold a key can neither read, write nor change one.
//!
//! A sealed datagram is, integers in network order:
//!
//! | bytes | what | |
//! |---|---|---|
//! | 2 | `GS` | in the clear, authenticated |
//! | 1 | version: 2 | in the clear, authenticated |
//! | 1 | id of the key | in the clear, authenticated |
//! | 16 | salt, random | in the clear, authenticated |
//! | 12 | nonce, random | in the clear, authenticated |
//! | 8 | start of the sender, as in `Stamp::generation` | sealed |
//! | 8 | number of the datagram, as in `Stamp::sequence` | sealed |
//! | 8 | start of the receiver that it answers; 0, when it answers none | sealed |
//! | 1 + n | name of the sender, behind its length | sealed |
//! | rest | the message | sealed |
//! | 16 | tag | |
//!
//! The seal is ChaCha20-Poly1305 under a key that HKDF-SHA256 derives from the ring's key and the salt, so that no number
//! of datagrams wears a key out, as random nonces alone would after some 2³². The name of the cluster is authenticated with it: one
//! key may serve two clusters, and they stay apart.

//!
//! What a member says travels in answers alone, and an answer is good for one start of one receiver. So who has just started, and
//! remembers nobody, is not deceived by answers that were recorded before.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use crate::gossip::keys::{Key, Keys};
use crate::gossip::refusal::Refusal;
use crate::gossip::replay::{Replay, Replays, Stamp};

const MAGIC: [u8; 2] = *b"GS";
const VERSION: u8 = 2;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;

const KEY_ID_AT: usize = 3;
const SALT_AT: usize = 4;
const NONCE_AT: usize = SALT_AT + SALT_LEN;
const SEALED_AT: usize = NONCE_AT + NONCE_LEN;

/// What key material is derived for, ahead of the salt.
const USE: &[u8] = b"datagram 1";

/// Seals what one start of a node sends, and opens what it receives.
pub(crate) struct Seal {
    keys: Keys,
    cluster_id: String,
    /// How long a sender is remembered.
    memory: Duration,
    node_id: String,
    generation: u64,
    sequence: u64,
}

impl Seal {
    pub(crate) fn new(
        keys: Keys,
        cluster_id: String,
        memory: Duration,
        node_id: String,
        generation: u64,
    ) -> Self {
        Self {
            keys,
            cluster_id,
            memory,
            node_id,
            generation,
            sequence: 0,
        }
    }

    /// Seals what `write` writes, as the whole content of `datagram`; it answers this start of its receiver, if any.
    ///
    /// Fails only where the system gives no random bytes; then nothing may be sent.
    pub(crate) fn seal(
        &mut self,
        datagram: &mut Vec<u8>,
        answers: Option<NonZeroU64>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Unspecified> {
        let ring = self.keys.ring();
        let key = ring.sealing();
        datagram.clear();
        datagram.extend(MAGIC);
        datagram.extend([VERSION, key.id]);
        let mut drawn = [0; SALT_LEN + NONCE_LEN];
        rand::fill(&mut drawn)?;
        datagram.extend(drawn);
        self.sequence += 1;
        datagram.extend(self.generation.to_be_bytes());
        datagram.extend(self.sequence.to_be_bytes());
        datagram.extend(answers.map_or(0, NonZeroU64::get).to_be_bytes());
        let name = self.node_id.as_bytes();
        datagram.push(u8::try_from(name.len()).map_err(|_| Unspecified)?);
        datagram.extend(name);
        write(datagram);

        let (header, content) = datagram.split_at_mut(SEALED_AT);
        let (cipher, nonce, aad) = self.terms(key, header)?;
        let tag = cipher.seal_in_place_separate_tag(nonce, aad, content)?;
        datagram.extend(tag.as_ref());
        Ok(())
    }

    /// Opens `datagram` in place and gives the message in it, unless it was in `replays` before, or answers another start than this
    /// one; each comes once.
    pub(crate) fn open<'a>(
        &self,
        now: Instant,
        replays: &mut Replays,
        datagram: &'a mut [u8],
    ) -> Result<Opened<'a>, Refusal> {
        let key_id = key_id(datagram)?;
        let ring = self.keys.ring();
        let key = ring.find(key_id).ok_or(Refusal::UnknownKey { key_id })?;
        let (header, content) = datagram.split_at_mut(SEALED_AT);
        let forged = |_| Refusal::Forged { key_id };
        let (cipher, nonce, aad) = self.terms(key, header).map_err(forged)?;
        let content = cipher.open_in_place(nonce, aad, content).map_err(forged)?;
        let content = Content::read(content)
            .ok_or_else(|| Refusal::Malformed("it says too little of its sender".to_owned()))?;
        let (sender, stamp) = (content.sender, content.stamp);
        let admitted = match content.answers {
            Some(start) if start.get() != self.generation => Err(Replay::ForAnother),
            _ => replays.admit(now, sender, stamp, self.memory),
        };
        admitted.map_err(|replay| Refusal::Replayed {
            sender: sender.to_owned(),
            replay,
        })?;
        Ok(Opened {
            key_id,
            start: NonZeroU64::new(stamp.generation),
            is_answer: content.answers.is_some(),
            message: content.message,
        })
    }

    fn terms(
        &self,
        key: &Key,
        header: &[u8],
    ) -> Result<(LessSafeKey, Nonce, Aad<Vec<u8>>), Unspecified> {
        let info = [USE, &header[SALT_AT..NONCE_AT]];
        let derived = key.secret.expand(&info, &CHACHA20_POLY1305)?;
        let cipher = LessSafeKey::new(UnboundKey::from(derived));
        let nonce = Nonce::try_assume_unique_for_key(&header[NONCE_AT..])?;
        // The header's length is fixed, so it cannot run into the name.
        let aad = Aad::from([header, self.cluster_id.as_bytes()].concat());
        Ok((cipher, nonce, aad))
    }
}

/// What was in a sealed datagram.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) key_id: u8,
    /// Which start of its sender it is of.
    pub(crate) start: Option<NonZeroU64>,
    /// Whether it answers the start that has opened it.
    pub(crate) is_answer: bool,
    pub(crate) message: &'a [u8],
}

/// The id of the key that `datagram` says it is sealed with, if it is sealed as this version seals.
fn key_id(datagram: &[u8]) -> Result<u8, Refusal> {
    if !datagram.starts_with(&MAGIC) || datagram.len() < SEALED_AT + TAG_LEN {
        return Err(Refusal::Malformed("it is not sealed".to_owned()));
    }
    let version = datagram[MAGIC.len()];
    if version != VERSION {
        let rule = format!("it is sealed as in version {version}, and this is version {VERSION}");
        return Err(Refusal::Malformed(rule));
    }
    Ok(datagram[KEY_ID_AT])
}

/// What is sealed.
struct Content<'a> {
    stamp: Stamp,
    answers: Option<NonZeroU64>,
    sender: &'a str,
    message: &'a [u8],
}

impl<'a> Content<'a> {
    /// Takes `content` apart, unless it is too short.
    fn read(content: &'a [u8]) -> Option<Self> {
        let (generation, rest) = content.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (answers, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (sender, message) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            stamp: Stamp {
                generation: u64::from_be_bytes(*generation),
                sequence: u64::from_be_bytes(*sequence),
            },
            answers: NonZeroU64::new(u64::from_be_bytes(*answers)),
            sender: str::from_utf8(sender).ok()?,
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gossip::keys::KeyRing;
    use crate::gossip::replay::Replay;

    const A: &str = "1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const B: &str = "2:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
    const MEMORY: Duration = Duration::from_secs(900);

    fn keys(text: &str) -> Keys {
        Keys::new(text.parse::<KeyRing>().expect("good keys"))
    }

    fn seal_of(ring: &str, cluster_id: &str, node_id: &str, generation: u64) -> Seal {
        Seal::new(
            keys(ring),
            cluster_id.into(),
            MEMORY,
            node_id.into(),
            generation,
        )
    }

    fn sealed(seal: &mut Seal, message: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        seal.seal(&mut datagram, None, |it| it.extend(message))
            .expect("seals");
        datagram
    }

    fn answering(seal: &mut Seal, start: u64, message: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        seal.seal(&mut datagram, NonZeroU64::new(start), |it| {
            it.extend(message);
        })
        .expect("seals");
        datagram
    }

    /// Opens a copy with a fresh memory.
    fn open(seal: &Seal, datagram: &[u8]) -> Result<Vec<u8>, Refusal> {
        open_once(seal, &mut Replays::default(), datagram)
    }

    fn open_once(seal: &Seal, replays: &mut Replays, datagram: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut datagram = datagram.to_vec();
        let opened = seal.open(Instant::now(), replays, &mut datagram);
        opened.map(|it| it.message.to_vec())
    }

    #[test]
    fn what_one_node_seals_another_of_the_same_key_and_cluster_opens() {
        let datagram = sealed(&mut seal_of(A, "c", "a", 1), b"hello");
        assert_eq!(open(&seal_of(A, "c", "b", 1), &datagram).unwrap(), b"hello");
        let both = format!("{B}\n{A}");
        assert_eq!(
            open(&seal_of(&both, "c", "b", 1), &datagram).unwrap(),
            b"hello"
        );
    }

    #[test]
    fn nothing_of_a_message_or_its_sender_can_be_read_and_no_two_datagrams_are_alike() {
        let mut seal = seal_of(A, "secret-cluster", "secret-node", 1);
        let (first, second) = (
            sealed(&mut seal, b"secret-word"),
            sealed(&mut seal, b"secret-word"),
        );
        assert_ne!(first[SALT_AT..], second[SALT_AT..]);
        assert!(!first.windows(6).any(|it| it == b"secret"));
    }

    #[test]
    fn contract_72_another_key_cluster_or_version_does_not_open() {
        let datagram = sealed(&mut seal_of(A, "c", "a", 1), b"hello");
        let other_key = A.replace("00112233", "00112234");
        assert_eq!(
            open(&seal_of(B, "c", "b", 1), &datagram),
            Err(Refusal::UnknownKey { key_id: 1 })
        );
        assert_eq!(
            open(&seal_of(&other_key, "c", "b", 1), &datagram),
            Err(Refusal::Forged { key_id: 1 })
        );
        assert_eq!(
            open(&seal_of(A, "d", "b", 1), &datagram),
            Err(Refusal::Forged { key_id: 1 })
        );
        let mut next = datagram;
        next[2] = 1;
        let refusal = open(&seal_of(A, "c", "b", 1), &next).unwrap_err();
        assert!(refusal.to_string().contains("version 1"), "{refusal}");
    }

    #[test]
    fn a_replaced_ring_holds_from_the_next_datagram_on() {
        let mut old = seal_of(A, "c", "a", 1);
        let receiver = seal_of(A, "c", "b", 1);
        receiver.keys.replace(format!("{A},{B}").parse().unwrap());
        assert!(open(&receiver, &sealed(&mut old, b"x")).is_ok());
        old.keys.replace(format!("{B},{A}").parse().unwrap());
        let datagram = sealed(&mut old, b"x");
        assert_eq!(datagram[KEY_ID_AT], 2);
        assert!(open(&receiver, &datagram).is_ok());
        receiver.keys.replace(B.parse().unwrap());
        assert!(open(&receiver, &datagram).is_ok());
    }

    #[test]
    fn a_recorded_datagram_opens_once_and_none_of_an_earlier_start_opens() {
        let mut replays = Replays::default();
        let receiver = seal_of(A, "c", "b", 1);
        let mut first = seal_of(A, "c", "a", 1);
        let (seen, unseen) = (sealed(&mut first, b"x"), sealed(&mut first, b"x"));
        open_once(&receiver, &mut replays, &seen).unwrap();
        let refused = |replay| {
            let sender = "a".to_owned();
            Err(Refusal::Replayed { sender, replay })
        };
        assert_eq!(
            open_once(&receiver, &mut replays, &seen),
            refused(Replay::Again)
        );
        let second = sealed(&mut seal_of(A, "c", "a", 2), b"x");
        open_once(&receiver, &mut replays, &second).unwrap();
        let unseen = open_once(&receiver, &mut replays, &unseen);
        assert_eq!(unseen, refused(Replay::OlderStart));
    }

    #[test]
    fn an_answer_opens_where_the_question_came_from_and_not_after_a_restart_of_that() {
        let mut a = seal_of(A, "c", "a", 1);
        let answer = answering(&mut a, 7, b"x");
        assert_eq!(open(&seal_of(A, "c", "b", 7), &answer).unwrap(), b"x");
        let mut replays = Replays::default();
        for start in [6, 8] {
            let receiver = seal_of(A, "c", "b", start);
            let (sender, replay) = ("a".to_owned(), Replay::ForAnother);
            let refused = Err(Refusal::Replayed { sender, replay });
            assert_eq!(open_once(&receiver, &mut replays, &answer), refused);
        }
        // And leaves no trace.
        let receiver = seal_of(A, "c", "b", 7);
        assert!(open_once(&receiver, &mut replays, &answer).is_ok());
    }

    #[test]
    fn what_does_not_open_leaves_no_trace_in_the_memory() {
        let mut replays = Replays::default();
        let receiver = seal_of(A, "c", "b", 1);
        let datagram = sealed(&mut seal_of(A, "c", "a", 1), b"x");
        let mut altered = datagram.clone();
        *altered.last_mut().unwrap() ^= 1;
        open_once(&receiver, &mut replays, &altered).unwrap_err();
        assert!(open_once(&receiver, &mut replays, &datagram).is_ok());
    }

    proptest! {
        #[test]
        fn random_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..600), begins_well: bool) {
            let mut bytes = bytes;
            if begins_well && bytes.len() > KEY_ID_AT {
                bytes[..=KEY_ID_AT].copy_from_slice(&[MAGIC[0], MAGIC[1], VERSION, 1]);
            }
            prop_assert!(open(&seal_of(A, "c", "b", 1), &bytes).is_err());
        }

        #[test]
        fn a_datagram_that_was_cut_or_changed_anywhere_never_opens(
            message in prop::collection::vec(any::<u8>(), 0..300),
            at: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let whole = sealed(&mut seal_of(A, "c", "a", 1), &message);
            let receiver = seal_of(A, "c", "b", 1);
            prop_assert_eq!(open(&receiver, &whole).unwrap(), message);
            let at = at.index(whole.len());
            prop_assert!(open(&receiver, &whole[..at]).is_err());
            let mut flipped = whole;
            flipped[at] ^= 1 << bit;
            prop_assert!(open(&receiver, &flipped).is_err());
        }
    }
}
