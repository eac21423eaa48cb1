//! The keys that seal gossip: a ring of them, so that one can follow another while nodes run.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hkdf;
use tokio::sync::watch;

use crate::gossip::error::{InvalidKeys, KeyFault, KeyFileError};
use crate::gossip::key_file::KeyFile;

/// How many bytes a key has.
const KEY_BYTES: usize = 32;

/// How often a file of keys is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What keys are extracted with; another use of the same secret would have another salt.
const PURPOSE: &[u8] = b"mesh gossip";

/// The keys that a node knows: it seals with the first and opens with any.
///
/// As text: one `id:key` a line or between commas, the id from 0 to 255, the key of 64 hexadecimal digits. Blank lines are
/// skipped, and so is what follows a `#`. The id travels with each datagram, so it has to mean the same key on every node.
///
/// A new key replaces an old one without a member lost in three steps, each done on every node before the next: put the new key
/// behind the old one, put it in front, remove the old one.
///
/// Secrets are not kept as they were given, and show in neither `Debug` nor errors.
///
/// ```
/// use mesh::gossip::KeyRing;
///
/// let old = "11c7a2".repeat(11)[..64].to_owned();
/// let new = "9be04f".repeat(11)[..64].to_owned();
/// let ring: KeyRing = format!("# since March\n2:{new}\n1:{old}\n").parse()?;
/// assert_eq!(ring.ids().collect::<Vec<_>>(), [2, 1]);
/// assert_eq!(format!("{ring:?}"), "KeyRing { seals: 2, opens: [2, 1] }");
/// # Ok::<(), mesh::gossip::InvalidKeys>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    /// Never empty; no id twice.
    keys: Vec<Key>,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: u8,
    /// From it the key of each single datagram is derived.
    pub(crate) secret: hkdf::Prk,
}

impl KeyRing {
    /// The ids of its keys: first the one that it seals with.
    pub fn ids(&self) -> impl Iterator<Item = u8> {
        self.keys.iter().map(|it| it.id)
    }

    pub(crate) fn sealing(&self) -> &Key {
        &self.keys[0]
    }

    pub(crate) fn find(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|it| it.id == id)
    }
}

impl FromStr for KeyRing {
    type Err = InvalidKeys;

    /// Reads a ring as [`KeyRing`] describes it.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] with every faulty entry, by its line. It quotes no part of the text.
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let mut keys = Vec::new();
        let mut faults = Vec::new();
        let (mut ids, mut secrets) = (HashSet::new(), HashSet::new());
        for (line, entry) in entries(text) {
            match read(entry) {
                Ok((id, _)) if !ids.insert(id) => {
                    faults.push(KeyFault::new(line, "has an id that another key has too"));
                }
                Ok((_, secret)) if !secrets.insert(secret) => {
                    faults.push(KeyFault::new(line, "repeats a key under another id"));
                }
                Ok((id, secret)) => keys.push(Key::new(id, &secret)),
                Err(rule) => faults.push(KeyFault::new(line, rule)),
            }
        }
        if keys.is_empty() && faults.is_empty() {
            faults.push(KeyFault::new(1, "holds no key"));
        }
        if faults.is_empty() {
            return Ok(Self { keys });
        }
        Err(InvalidKeys { faults })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("seals", &self.sealing().id)
            .field("opens", &self.ids().collect::<Vec<_>>())
            .finish()
    }
}

impl Key {
    fn new(id: u8, secret: &[u8; KEY_BYTES]) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, PURPOSE);
        let secret = salt.extract(secret);
        Self { id, secret }
    }
}

/// The entries of `text` with the number of their line.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines());
    let entries = lines.flat_map(|(number, line)| {
        let said = line.split('#').next().unwrap_or_default();
        said.split(',').map(move |it| (number, it.trim()))
    });
    entries.filter(|(_, it)| !it.is_empty())
}

/// The id and the key of an entry, or what is wrong with it.
fn read(entry: &str) -> Result<(u8, [u8; KEY_BYTES]), &'static str> {
    let (id, digits) = entry.split_once(':').ok_or("is not `id:key`")?;
    let id = id.trim().parse::<u8>();
    let id = id.map_err(|_| "has an id that is no number from 0 to 255")?;
    let secret = from_hex(digits.trim()).ok_or("has a key that is not 64 hexadecimal digits")?;
    let [first, rest @ ..] = &secret;
    if rest.iter().all(|it| it == first) {
        return Err("has a key of one byte repeated, which nobody has drawn at random");
    }
    Ok((id, secret))
}

fn from_hex(digits: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|it| char::from(it).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

/// Keys as text, which is not shown by `Debug`: what [`KeyRing`] is read from.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// Holds `text`, which is not looked at before it is used.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads the ring in it.
    pub(crate) fn read(&self) -> Result<KeyRing, InvalidKeys> {
        self.0.parse()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// The ring that a running node uses, which can be replaced at any time; a clone is the same one.
///
/// Two are equal when one is a clone of the other: keys are not compared.
#[derive(Clone)]
pub struct Keys {
    ring: Arc<watch::Sender<Arc<KeyRing>>>,
    /// Where they are from, if that can change.
    file: Option<Arc<KeyFile>>,
}

impl Keys {
    /// Begins with `ring`.
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self {
            ring: Arc::new(watch::channel(Arc::new(ring)).0),
            file: None,
        }
    }

    /// Begins with the ring in the file at `path`. While gossip runs with these keys, the file is looked at once a second and read
    /// again when it has changed; one that is not in order changes nothing, and is logged.
    ///
    /// Blocks for as long as the reading takes.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] when it cannot be read, is open to others or is wrong.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let file = KeyFile::new(path.into());
        let keys = Self::new(file.read()?);
        Ok(Self {
            file: Some(Arc::new(file)),
            ..keys
        })
    }

    /// From the next datagram on seals and opens with `ring`; nothing that runs is interrupted.
    pub fn replace(&self, ring: KeyRing) {
        let (seals, opens) = (ring.sealing().id, ring.ids().collect::<Vec<_>>());
        self.ring.send_replace(Arc::new(ring));
        tracing::info!(seals, ?opens, "gossip has a new ring of keys");
    }

    /// Whether there is anything to [`follow`](Self::follow).
    pub(crate) fn can_change(&self) -> bool {
        self.file.is_some()
    }

    /// Takes over what the file says whenever that has changed; never ends while there is a file.
    pub(crate) async fn follow(self) {
        let Some(file) = &self.file else {
            return;
        };
        loop {
            tokio::time::sleep(LOOK).await;
            if !file.has_changed() {
                continue;
            }
            // Said once: the next line comes when the file has changed again.
            match file.read() {
                Ok(ring) => self.replace(ring),
                Err(error) => {
                    let path = file.path().display();
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(%path, error, "the gossip keys from before go on to hold");
                }
            }
        }
    }

    /// The present ring.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.borrow())
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ring, &other.ring)
    }
}

impl Eq for Keys {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.ring()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const B: &str = "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100";

    fn faults(text: &str) -> Vec<(usize, &'static str)> {
        let error = text.parse::<KeyRing>().expect_err("the keys are faulty");
        error.faults.iter().map(|it| (it.line, it.rule)).collect()
    }

    #[test]
    fn the_first_key_seals_and_lines_commas_and_comments_are_all_the_syntax_there_is() {
        let ring: KeyRing = format!("# ours\n\n 7 : {A} # since May\n{B}")
            .replace(B, &format!("0:{B}"))
            .parse()
            .unwrap();
        assert_eq!(ring.sealing().id, 7);
        assert_eq!(ring.ids().collect::<Vec<_>>(), [7, 0]);
        let ring: KeyRing = format!("255:{A},1:{B}").parse().unwrap();
        assert_eq!(ring.ids().collect::<Vec<_>>(), [255, 1]);
        assert!(ring.find(1).is_some() && ring.find(2).is_none());
    }

    #[test]
    fn every_faulty_entry_is_told_by_its_line_and_never_quoted() {
        let text = format!(
            "1:{A}\n{B}\n256:{B}\n2:{}\n1:{B}\n3:{A}\n4:{}",
            &B[1..],
            "00".repeat(32)
        );
        assert_eq!(
            faults(&text),
            [
                (2, "is not `id:key`"),
                (3, "has an id that is no number from 0 to 255"),
                (4, "has a key that is not 64 hexadecimal digits"),
                (5, "has an id that another key has too"),
                (6, "repeats a key under another id"),
                (
                    7,
                    "has a key of one byte repeated, which nobody has drawn at random"
                ),
            ]
        );
        let error = text.parse::<KeyRing>().unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(
                !shown.contains(&A[..8]) && !shown.contains(&B[..8]),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_ring_without_keys_is_none() {
        assert_eq!(faults(""), [(1, "holds no key")]);
        assert_eq!(faults("# later\n , \n"), [(1, "holds no key")]);
    }

    #[test]
    fn no_secret_shows_in_debug() {
        let ring: KeyRing = format!("1:{A}").parse().unwrap();
        let keys = Keys::new(ring);
        let options = crate::gossip::Options {
            keys: Some(keys.clone()),
            ..Default::default()
        };
        let shown = format!("{keys:?} {options:?}").to_lowercase();
        assert!(
            shown.contains("keyring { seals: 1, opens: [1] }"),
            "{shown}"
        );
        for secret in [A, "0, 17, 34, 51", "00, 11, 22, 33"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_clone_follows_when_the_ring_is_replaced() {
        let keys = Keys::new(format!("1:{A}").parse().unwrap());
        let clone = keys.clone();
        keys.replace(format!("2:{B},1:{A}").parse().unwrap());
        assert_eq!(clone.ring().sealing().id, 2);
        assert_eq!(clone, keys);
        assert_ne!(clone, Keys::new(format!("1:{A}").parse().unwrap()));
    }
}
