//! [`Chooser`]: which of several peers is asked.

use std::hash::BuildHasher;

use tower::util::rng::{HasherRng, Rng as _};

/// Which of several peers is asked, of those that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chooser {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest calls in flight; of equals, one after the other.
    FewestPending,
    /// Of two that chance picks, the one with fewer calls in flight. With many callers that do not know of each other this spreads
    /// better than to ask the idlest, which all of them would find at the same time.
    TwoRandomChoices,
}

/// A chooser and what it remembers.
#[derive(Debug)]
pub(super) struct Choosing<H = std::hash::RandomState> {
    chooser: Chooser,
    /// Where the next round begins.
    next: usize,
    chance: HasherRng<H>,
}

impl Choosing {
    pub(super) fn new(chooser: Chooser) -> Self {
        Self::with_chance(chooser, HasherRng::default())
    }
}

impl<H: BuildHasher> Choosing<H> {
    fn with_chance(chooser: Chooser, chance: HasherRng<H>) -> Self {
        Self {
            chooser,
            next: 0,
            chance,
        }
    }

    /// One of `candidates`, each of them a number and how many calls it has in flight, in the order of numbers. `None` when there are
    /// none. Candidates may come and go between calls: a round goes on at the next number that there is.
    pub(super) fn choose(&mut self, candidates: &[(usize, usize)]) -> Option<usize> {
        match self.chooser {
            Chooser::RoundRobin => self.idlest_of_the_round(candidates, |_| 0),
            Chooser::FewestPending => self.idlest_of_the_round(candidates, |pending| pending),
            Chooser::TwoRandomChoices => self.better_of_two(candidates),
        }
    }

    fn idlest_of_the_round(
        &mut self,
        candidates: &[(usize, usize)],
        load: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let next = self.next;
        let rank = |&&(place, pending): &&(usize, usize)| (load(pending), place < next, place);
        let &(place, _) = candidates.iter().min_by_key(rank)?;
        self.next = place + 1;
        Some(place)
    }

    fn better_of_two(&mut self, candidates: &[(usize, usize)]) -> Option<usize> {
        let count = candidates.len();
        if count < 2 {
            return candidates.first().map(|it| it.0);
        }
        let first = self.below(count);
        // Any other but the first.
        let second = (first + 1 + self.below(count - 1)) % count;
        let (first, second) = (candidates[first], candidates[second]);
        let better = if second.1 < first.1 { second } else { first };
        Some(better.0)
    }

    fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("there are fewer peers than that");
        let chosen = self.chance.next_u64() % count;
        usize::try_from(chosen).expect("it is below what was an usize")
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    type Fixed = BuildHasherDefault<DefaultHasher>;

    fn choosing(chooser: Chooser) -> Choosing<Fixed> {
        Choosing::with_chance(chooser, HasherRng::with_hasher(Fixed::default()))
    }

    fn idle(places: &[usize]) -> Vec<(usize, usize)> {
        places.iter().map(|it| (*it, 0)).collect()
    }

    #[test]
    fn round_robin_takes_one_after_the_other_and_passes_over_who_is_missing() {
        let mut choosing = choosing(Chooser::RoundRobin);
        let all = idle(&[0, 1, 2]);
        let first: Vec<_> = (0..4).map(|_| choosing.choose(&all).unwrap()).collect();
        assert_eq!(first, [0, 1, 2, 0]);
        assert_eq!(choosing.choose(&idle(&[0, 2])), Some(2));
        assert_eq!(choosing.choose(&idle(&[1])), Some(1));
        assert_eq!(choosing.choose(&[]), None);
        assert_eq!(choosing.choose(&all), Some(2));
    }

    #[test]
    fn fewest_pending_takes_the_idlest_and_goes_round_among_equals() {
        let mut choosing = choosing(Chooser::FewestPending);
        assert_eq!(choosing.choose(&[(0, 3), (1, 1), (2, 2)]), Some(1));
        let all = idle(&[0, 1, 2]);
        let round: Vec<_> = (0..4).map(|_| choosing.choose(&all).unwrap()).collect();
        assert_eq!(round, [2, 0, 1, 2]);
    }

    #[test]
    fn two_random_choices_reach_everybody_but_the_busiest() {
        let mut choosing = choosing(Chooser::TwoRandomChoices);
        let mut counts = [0_u32; 4];
        for _ in 0..3_000 {
            let chosen = choosing.choose(&[(0, 0), (1, 0), (2, 0), (3, 9)]);
            counts[chosen.unwrap()] += 1;
        }
        assert_eq!(counts[3], 0, "the other one of two is always idler");
        assert!(counts[..3].iter().all(|it| *it > 800), "{counts:?}");
        assert_eq!(choosing.choose(&[(5, 7)]), Some(5));
        assert_eq!(choosing.choose(&[]), None);
    }
}
