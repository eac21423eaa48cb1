//! [`Directory`]: whom the marks of threads mean.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, Weak};

use lifecycle_core::ComponentName;

use super::{What, locked};
use crate::scope::AttemptScope;

/// Somebody whose code may hold a thread.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// The calls and tasks of one attempt, or of the generation that it became.
    Scope(Weak<AttemptScope>),
    /// A value that is being let go of.
    Value(ComponentName),
}

/// What is known of somebody who holds a thread.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) component: ComponentName,
    pub(crate) generation: Option<u32>,
    pub(crate) what: Cow<'static, str>,
    pub(crate) progress: Option<Arc<str>>,
    pub(crate) isolated: bool,
}

impl Who {
    /// Describes `what` of theirs; `None` when it is over.
    pub(super) fn describe(self, what: What) -> Option<Described> {
        match self {
            Self::Scope(scope) => AttemptScope::describe(&scope, what.decode()),
            Self::Value(component) => Some(Described {
                component,
                generation: None,
                what: what.decode().err()?.into(),
                progress: None,
                isolated: false,
            }),
        }
    }
}

/// Where somebody stands in the directory. Used again once they have left it, so that it means them only while they are
/// known to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    /// Of those who are in no directory.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(super) const fn number(self) -> u64 {
        self.0 as u64
    }
}

/// How many parts the directory has, so that those who come and those who go seldom meet.
const PARTS: usize = 8;

/// Everybody who may be marked. Entering and leaving takes a lock once an attempt; marking takes none.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    parts: [Mutex<Part>; PARTS],
}

#[derive(Debug, Default)]
struct Part {
    known: Vec<Option<Who>>,
    free: Vec<u32>,
}

impl Directory {
    /// Takes `who` in. Those of near `hint`s come into different parts.
    pub(crate) fn enter(&self, hint: usize, who: Who) -> Place {
        let part = hint % PARTS;
        let index = locked(&self.parts[part]).enter(who);
        let place = index.checked_mul(PARTS as u32);
        place.map_or(Place::NONE, |it| Place(it + part as u32))
    }

    /// Forgets whoever is at `place`.
    pub(crate) fn leave(&self, place: Place) {
        if place == Place::NONE {
            return;
        }
        let (part, index) = split(place);
        let left = locked(&self.parts[part]).leave(index);
        // Beyond the lock: it may be the last to know of an attempt's memory.
        drop(left);
    }

    /// Who is at the place with this number.
    pub(super) fn find(&self, number: u64) -> Option<Who> {
        let (part, index) = split(Place(u32::try_from(number).ok()?));
        locked(&self.parts[part]).known.get(index)?.clone()
    }
}

impl Part {
    fn enter(&mut self, who: Who) -> u32 {
        if let Some(index) = self.free.pop() {
            self.known[index as usize] = Some(who);
            return index;
        }
        self.known.push(Some(who));
        u32::try_from(self.known.len() - 1).unwrap_or(u32::MAX)
    }

    fn leave(&mut self, index: usize) -> Option<Who> {
        let left = self.known.get_mut(index)?.take()?;
        self.free.push(u32::try_from(index).ok()?);
        Some(left)
    }
}

fn split(place: Place) -> (usize, usize) {
    let number = place.0 as usize;
    (number % PARTS, number / PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Who {
        Who::Value(ComponentName::new(name).unwrap())
    }

    fn name(directory: &Directory, place: Place) -> Option<String> {
        match directory.find(place.number())? {
            Who::Value(name) => Some(name.to_string()),
            Who::Scope(_) => None,
        }
    }

    #[test]
    fn places_are_used_again_and_mean_nobody_in_between() {
        let directory = Directory::default();
        let places: Vec<_> = (0..20)
            .map(|it| directory.enter(it, value(&it.to_string())))
            .collect();
        assert_eq!(name(&directory, places[13]).as_deref(), Some("13"));
        directory.leave(places[13]);
        directory.leave(places[13]);
        assert_eq!(name(&directory, places[13]), None);
        assert_eq!(directory.enter(13, value("next")), places[13]);
        assert_eq!(name(&directory, places[13]).as_deref(), Some("next"));
        assert_ne!(directory.enter(13, value("another")), places[13]);
        assert_eq!(name(&directory, Place::NONE), None);
    }
}
