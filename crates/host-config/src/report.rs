//! [`Report`]: what was found so far, and where blame goes.

use std::error::Error;
use std::iter;
use std::net::SocketAddr;
use std::path::Path;

use crate::fault::{Fault, Flaw, Place};
use crate::key::Key;
use crate::layers::Layers;

/// The faults that were found so far.
#[derive(Debug)]
pub struct Report<'a> {
    layers: &'a Layers,
    faults: Vec<Fault>,
}

impl<'a> Report<'a> {
    pub(crate) const fn new(layers: &'a Layers, faults: Vec<Fault>) -> Self {
        Self { layers, faults }
    }

    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Who has set what.
    #[must_use]
    pub const fn layers(&self) -> &'a Layers {
        self.layers
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// What was found so far, in the order in which it was.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether one of these keys of `section` was blamed already.
    #[must_use]
    pub fn is_blamed(&self, section: &Key, names: &[&str]) -> bool {
        let keys = names.iter().map(|it| section.join(it).to_string());
        let keys: Vec<_> = keys.collect();
        self.faults.iter().any(|it| keys.contains(&it.key))
    }

    /// Blames `key` where it was set, or else where its table is.
    pub fn blame(&mut self, key: &Key, flaw: Flaw) {
        self.blame_one_of(key, &[], flaw);
    }

    /// Blames `key` where it was set, or else where the first of `related` was, or else where its table is.
    pub fn blame_one_of(&mut self, key: &Key, related: &[Key], flaw: Flaw) {
        let places = iter::once(key).chain(related).map(|it| self.place(it));
        let mut set = places.filter(|it| *it != Place::Default);
        let place = match set.next() {
            Some(place) => place,
            None if *key == Key::default() => Place::Default,
            None => self.place(&key.parent()),
        };
        self.faults.push(Fault::new(place, key, flaw));
    }

    /// Blames lines of a file that `key` names, each with the rule that it breaks.
    pub fn blame_lines(
        &mut self,
        key: &Key,
        path: &Path,
        lines: impl IntoIterator<Item = (usize, String)>,
    ) {
        let faults = lines.into_iter().map(|(line, rule)| {
            let path = path.to_owned();
            Fault::new(Place::File { path, line }, key, Flaw::new(rule, ""))
        });
        self.faults.extend(faults);
    }

    /// Blames `key` for an error and its cause.
    pub fn blame_error(&mut self, key: &Key, error: &dyn Error) {
        let cause = error.source().map(|it| format!(": {it}"));
        let sentence = format!("{error}{}", cause.unwrap_or_default());
        self.blame(key, Flaw::split(&sentence));
    }

    /// Blames the address of `section` when other machines can reach it. `guard` is what would let only some of them in, as in "name
    /// a file of tokens".
    pub fn check_exposure(&mut self, section: &Key, address: SocketAddr, guard: &str) {
        if !address.ip().to_canonical().is_loopback() {
            let rule = format!(
                "{address} can be reached from other machines, and nothing there asks for credentials"
            );
            let remedy = format!(
                "use a loopback address, {guard}, or set `insecure = true` on a network that you trust"
            );
            self.blame(&section.join("address"), Flaw::new(rule, remedy));
        }
    }

    /// Blames the address of `section` when other machines can reach it: tokens that are sent there in clear text can be read by others.
    pub fn check_clear_text(&mut self, section: &Key, address: SocketAddr) {
        if !address.ip().to_canonical().is_loopback() {
            let rule = format!(
                "{address} can be reached from other machines, and tokens travel there in clear text"
            );
            let remedy = "serve it over TLS (diagnostics.tls), use a loopback address, or set `insecure = true` on a network that you trust";
            self.blame(&section.join("address"), Flaw::new(rule, remedy));
        }
    }

    /// Blames sections whose `address` has a port that another one has too.
    pub fn check_ports(&mut self, listeners: &[(Key, SocketAddr)]) {
        for (place, (one, first)) in listeners.iter().enumerate() {
            for (other, second) in &listeners[place + 1..] {
                if share_a_port(*first, *second) {
                    let (one, other) = (one.join("address"), other.join("address"));
                    // Blamed is the one that somebody has set; of two, the later.
                    let (blamed, taken_by) = match self.place(&other) {
                        Place::Default => (one, other),
                        _ => (other, one),
                    };
                    let rule = format!("the port is that of {taken_by} too ({first}, {second})");
                    let remedy = "give each listener a port of its own";
                    self.blame(&blamed, Flaw::new(rule, remedy));
                }
            }
        }
    }

    fn place(&self, key: &Key) -> Place {
        self.layers.place(key)
    }
}

/// Whether both cannot listen; a port that is 0 is any other.
fn share_a_port(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same_machine =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && is_same_machine
}
