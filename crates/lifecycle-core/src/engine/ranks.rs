//! A set of positions in plan order, from which the first or the last is taken.

/// Positions below a fixed count, as a tree of 64-bit words: a bit in one level says that the word below is not empty.
///
/// Inserting and taking touch one word a level, which is three for 262 144 components, and never allocate. So the
/// order of calls costs no more than a queue would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct RankSet {
    /// From the leaves to the root, which is one word.
    levels: Vec<Vec<u64>>,
}

impl RankSet {
    /// An empty set of positions below `count`.
    pub(super) fn below(count: usize) -> Self {
        let mut levels = Vec::new();
        let mut words = count;
        loop {
            words = words.div_ceil(64).max(1);
            levels.push(vec![0; words]);
            if words == 1 {
                return Self { levels };
            }
        }
    }

    pub(super) fn insert(&mut self, rank: usize) {
        let mut position = rank;
        for level in &mut self.levels {
            level[position / 64] |= 1 << (position % 64);
            position /= 64;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels.last().is_none_or(|root| root[0] == 0)
    }

    pub(super) fn clear(&mut self) {
        self.levels.iter_mut().for_each(|level| level.fill(0));
    }

    /// Takes the smallest position.
    pub(super) fn pop_first(&mut self) -> Option<usize> {
        self.pop(|word| word.trailing_zeros() as usize)
    }

    /// Takes the largest position.
    pub(super) fn pop_last(&mut self) -> Option<usize> {
        self.pop(|word| 63 - word.leading_zeros() as usize)
    }

    fn pop(&mut self, bit_of: impl Fn(u64) -> usize) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let down = self.levels.iter().rev();
        let rank = down.fold(0, |position, level| position * 64 + bit_of(level[position]));
        self.remove(rank);
        Some(rank)
    }

    /// Takes `rank` out; does nothing when it is not in.
    pub(super) fn remove(&mut self, rank: usize) {
        let mut position = rank;
        for level in &mut self.levels {
            let word = &mut level[position / 64];
            *word &= !(1 << (position % 64));
            if *word != 0 {
                return;
            }
            position /= 64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_taken_from_either_end_whatever_the_order_of_insertion() {
        for count in [1, 63, 64, 65, 4_096, 4_097, 300_000] {
            let mut set = RankSet::below(count);
            let positions = [0, count / 3, count / 2, count - 1];
            positions.iter().rev().for_each(|it| set.insert(*it));
            assert_eq!(set.pop_last(), Some(count - 1), "of {count}");
            let mut expected: Vec<usize> = positions
                .into_iter()
                .filter(|it| *it != count - 1)
                .collect();
            expected.dedup();
            let taken: Vec<usize> = std::iter::from_fn(|| set.pop_first()).collect();
            assert_eq!(taken, expected, "of {count}");
            assert!(set.is_empty());
        }
    }

    #[test]
    fn an_empty_set_of_nothing_has_nothing_to_take() {
        let mut set = RankSet::below(0);
        assert_eq!(set.pop_first(), None);
        assert_eq!(set.pop_last(), None);
    }
}
