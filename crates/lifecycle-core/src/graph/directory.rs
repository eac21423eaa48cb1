//! [`Directory`]: which component has which name, while a graph is checked.
//!
//! A table of its own, because a large graph is bound by memory: what a look-up needs next has left the cache, and one that
//! waits for it before the next begins waits for each. So a place takes eight bytes, and names are looked up
//! [many at a time](Directory::find_all), each step for all of them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;

use crate::plan::ComponentId;

/// Odd, and half of its bits are set, in no pattern.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bit by which small letters differ from capitals, in each byte.
const CASE: u64 = 0x2020_2020_2020_2020;

/// Names, compared byte by byte without regard to ASCII case, each given to one component.
pub(super) struct Directory<'a> {
    /// A power of two, and more than there are names.
    places: Box<[Place]>,
    entries: Vec<(&'a str, ComponentId)>,
    /// The standard library's, so that nobody can choose names that collide.
    seed: u64,
}

/// Where a name would be: the upper half of its hash, and its entry, counted from 1.
#[derive(Clone, Copy, Default)]
struct Place {
    mark: u32,
    entry: u32,
}

/// What looking up many names needs, to be used again.
#[derive(Default)]
pub(super) struct Search<'a> {
    names: Vec<(&'a str, u64)>,
    entries: Vec<Option<(&'a str, ComponentId)>>,
}

impl<'a> Directory<'a> {
    /// A directory with room for `count` names.
    pub(super) fn with_room(count: usize) -> Self {
        let places = (2 * count).next_power_of_two().max(2);
        Self {
            places: vec![Place::default(); places].into(),
            entries: Vec::with_capacity(count),
            seed: RandomState::new().build_hasher().finish(),
        }
    }

    /// The hash of a trimmed name.
    pub(super) fn hash(&self, name: &str) -> u64 {
        let (words, rest) = name.as_bytes().as_chunks::<8>();
        let mut last = [0; 8];
        for (byte, of_name) in last.iter_mut().zip(rest) {
            *byte = *of_name;
        }
        // A few bytes that are no letters are taken for each other too, which costs a comparison.
        let mix = |hash: u64, word: &[u8; 8]| {
            let word = u64::from_le_bytes(*word) | CASE;
            let product = u128::from(hash ^ word) * u128::from(MULTIPLIER);
            (product >> 64) as u64 ^ product as u64
        };
        mix(words.iter().fold(self.seed, mix), &last)
    }

    /// Has the memory fetched that a claim or a look-up of `hash` begins with.
    pub(super) fn fetch(&self, hash: u64) {
        black_box(self.places[self.index(hash)]);
    }

    /// Gives `name`, which has `hash`, to `id`.
    ///
    /// # Errors
    ///
    /// The component that has the name already.
    pub(super) fn claim(
        &mut self,
        name: &'a str,
        hash: u64,
        id: ComponentId,
    ) -> Result<(), ComponentId> {
        let mut index = self.index(hash);
        while let Some((taken, by)) = self.entry(self.places[index]) {
            if self.places[index].mark == mark(hash) && is_same(taken, name) {
                return Err(by);
            }
            index = self.after(index);
        }
        self.entries.push((name, id));
        debug_assert!(self.entries.len() < self.places.len(), "there is room");
        let entry = u32::try_from(self.entries.len()).expect("names are counted in 32 bits");
        let mark = mark(hash);
        self.places[index] = Place { mark, entry };
        Ok(())
    }

    /// Looks up `names`, which are trimmed, and appends to `found` who has each.
    pub(super) fn find_all<'s>(
        &self,
        search: &mut Search<'s>,
        names: impl Iterator<Item = &'s str>,
        found: &mut Vec<Option<ComponentId>>,
    ) where
        'a: 's,
    {
        search.names.clear();
        search.names.extend(names.map(|it| (it, self.hash(it))));
        search.entries.clear();
        let hashes = search.names.iter().map(|(_, hash)| *hash);
        let first = hashes.map(|it| self.entry(self.places[self.index(it)]));
        search.entries.extend(first);
        let pairs = search.names.iter().zip(&search.entries);
        found.extend(pairs.map(|((name, hash), first)| match first {
            Some((known, id)) if is_same(known, name) => Some(*id),
            Some(_) => self.find(name, *hash),
            None => None,
        }));
    }

    fn find(&self, name: &str, hash: u64) -> Option<ComponentId> {
        let mut index = self.index(hash);
        loop {
            let place = self.places[index];
            let (known, id) = self.entry(place)?;
            if place.mark == mark(hash) && is_same(known, name) {
                return Some(id);
            }
            index = self.after(index);
        }
    }

    fn index(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn after(&self, index: usize) -> usize {
        (index + 1) & (self.places.len() - 1)
    }

    fn entry(&self, place: Place) -> Option<(&'a str, ComponentId)> {
        let index = place.entry.checked_sub(1)?;
        Some(self.entries[index as usize])
    }
}

fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn is_same(left: &str, right: &str) -> bool {
    left == right || left.eq_ignore_ascii_case(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(directory: &Directory<'_>, names: &[&str]) -> Vec<Option<ComponentId>> {
        let mut found = Vec::new();
        let names = names.iter().copied();
        directory.find_all(&mut Search::default(), names, &mut found);
        found
    }

    #[test]
    fn every_name_among_many_is_found_in_any_case_and_no_other_is() {
        let names: Vec<String> = (0..5_000).map(|it| format!("Component-{it}")).collect();
        let mut directory = Directory::with_room(names.len());
        for (name, id) in names.iter().zip(ComponentId::all(names.len())) {
            let hash = directory.hash(name);
            assert_eq!(directory.claim(name, hash, id), Ok(()));
        }
        for (name, id) in names.iter().zip(ComponentId::all(names.len())) {
            let upper = name.to_uppercase();
            let unknown = format!("{name}!");
            let found = who(&directory, &[&unknown, name, &upper]);
            assert_eq!(found, [None, Some(id), Some(id)]);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_refused_in_any_case() {
        let mut directory = Directory::with_room(3);
        let claims = [("db", Ok(())), ("api", Ok(())), ("DB", Err(0))];
        for ((name, expected), id) in claims.into_iter().zip(ComponentId::all(3)) {
            let hash = directory.hash(name);
            let claimed = directory.claim(name, hash, id);
            assert_eq!(claimed.map_err(ComponentId::index), expected);
        }
    }

    #[test]
    fn characters_that_differ_by_the_bit_of_case_and_are_no_letters_are_told_apart() {
        let mut directory = Directory::with_room(1);
        let hash = directory.hash("a@b");
        let id = ComponentId::at(0);
        assert_eq!(directory.claim("a@b", hash, id), Ok(()));
        assert_eq!(directory.hash("a`b"), hash);
        assert_eq!(who(&directory, &["a`b", "A@B"]), [None, Some(id)]);
    }

    #[test]
    fn a_directory_of_nobody_knows_nobody() {
        assert_eq!(who(&Directory::with_room(0), &["db", ""]), [None, None]);
    }
}
