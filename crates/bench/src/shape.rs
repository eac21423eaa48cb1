//! [`Shape`]: graphs with names.

use std::str::FromStr;
use std::time::Duration;

/// How many layers the layered shapes have.
const LAYERS: usize = 10;
/// How many dependencies into the layer before a component of them has, if that has as many.
const DEPENDENCIES: usize = 3;
/// The longest start of a component that takes its time, in microseconds.
const LONGEST: u64 = 20_000;
/// How many components do not end in [`Shape::Hung`]: one of so many.
const HUNG: usize = 100;

/// A graph, and what its components take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No dependencies.
    Flat,
    /// Each depends on the one before.
    Chain,
    /// One below, one above, all others between them.
    Diamond,
    /// Ten layers; each component depends on three of the layer before, and its start takes 0 to 20 ms.
    Layers,
    /// Chains of ten side by side; each start takes 0 to 20 ms.
    Lanes,
    /// As layers without sleep, but for one component a layer whose start takes 100 ms, each in another lane.
    Skew,
    /// No dependencies; each stop takes 10 ms.
    StopSlow,
    /// No dependencies; everything fails once at the same time, and is started again.
    CrashStorm,
    /// As layers without sleep; the stop of one in a hundred never ends.
    Hung,
}

/// What one component is, before anything runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) dependencies: Box<[u32]>,
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
    pub(crate) hangs: bool,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Flat,
        Self::Chain,
        Self::Diamond,
        Self::Layers,
        Self::Lanes,
        Self::Skew,
        Self::StopSlow,
        Self::CrashStorm,
        Self::Hung,
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Chain => "chain",
            Self::Diamond => "diamond",
            Self::Layers => "layers",
            Self::Lanes => "lanes",
            Self::Skew => "skew",
            Self::StopSlow => "stop-slow",
            Self::CrashStorm => "crash-storm",
            Self::Hung => "hung",
        }
    }

    /// Whether it has dependencies.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        match self {
            Self::Flat | Self::StopSlow | Self::CrashStorm => false,
            Self::Chain | Self::Diamond | Self::Layers | Self::Lanes | Self::Skew | Self::Hung => {
                true
            }
        }
    }

    /// Its components; what one depends on comes before it.
    pub(crate) fn parts(self, count: usize) -> Vec<Part> {
        (0..count).map(|it| self.part(it, count)).collect()
    }

    fn part(self, index: usize, count: usize) -> Part {
        let part = Part {
            dependencies: self
                .dependencies(index, count)
                .into_iter()
                .map(narrow)
                .collect(),
            ..Part::default()
        };
        match self {
            Self::Flat | Self::Chain | Self::Diamond => part,
            Self::Layers | Self::Lanes => Part {
                start: Duration::from_micros(scattered(index, 0) % LONGEST),
                ..part
            },
            Self::Skew if is_slow(index, count) => Part {
                start: Duration::from_millis(100),
                ..part
            },
            Self::StopSlow => Part {
                stop: Duration::from_millis(10),
                ..part
            },
            Self::Hung => Part {
                hangs: index % HUNG == HUNG / 2,
                ..part
            },
            Self::Skew | Self::CrashStorm => part,
        }
    }

    fn dependencies(self, index: usize, count: usize) -> Vec<usize> {
        let width = width(count);
        match self {
            Self::Flat | Self::StopSlow | Self::CrashStorm => Vec::new(),
            Self::Chain => index.checked_sub(1).into_iter().collect(),
            Self::Diamond if index == 0 => Vec::new(),
            Self::Diamond if index + 1 == count => (1..index).collect(),
            Self::Diamond => vec![0],
            Self::Lanes => index.checked_sub(width).into_iter().collect(),
            Self::Layers | Self::Skew | Self::Hung => below(index, width),
        }
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| format!("there is no shape {text}"))
    }
}

fn width(count: usize) -> usize {
    (count / LAYERS).max(1)
}

/// One of the same lane, and others anywhere in the layer before.
fn below(index: usize, width: usize) -> Vec<usize> {
    let Some(own) = index.checked_sub(width) else {
        return Vec::new();
    };
    let first = own - own % width;
    let mut found = vec![own];
    let mut salt = 1;
    while found.len() < DEPENDENCIES.min(width) {
        let other = first + usize::try_from(scattered(index, salt)).unwrap_or(0) % width;
        if !found.contains(&other) {
            found.push(other);
        }
        salt += 1;
    }
    found
}

/// Whether a component is the slow one of its layer: those stand on a diagonal.
fn is_slow(index: usize, count: usize) -> bool {
    let width = width(count);
    let (layer, lane) = (index / width, index % width);
    lane == layer * width / LAYERS
}

/// The same number for the same place, and another one for the next (SplitMix64), at most 2^31.
fn scattered(index: usize, salt: u64) -> u64 {
    let mut it = (index as u64 + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(salt.wrapping_mul(0xd1b5_4a32_d192_ed03));
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (it ^ (it >> 31)) >> 33
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).expect("there are fewer components than 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_as_many_components_as_asked_for_and_no_dependency_comes_later() {
        for shape in Shape::ALL {
            for count in [1, 2, 9, 10, 1_000] {
                let parts = shape.parts(count);
                assert_eq!(parts.len(), count, "{shape:?}");
                for (index, part) in parts.iter().enumerate() {
                    let earlier = |it: &u32| (*it as usize) < index;
                    assert!(part.dependencies.iter().all(earlier), "{shape:?} {index}");
                }
            }
        }
    }

    #[test]
    fn layers_have_three_different_dependencies_each_in_the_layer_before() {
        let parts = Shape::Layers.parts(1_000);
        let first = parts.iter().filter(|it| it.dependencies.is_empty());
        assert_eq!(first.count(), 100);
        for (index, part) in parts.iter().enumerate().skip(100) {
            let mut below = part.dependencies.to_vec();
            below.sort_unstable();
            below.dedup();
            assert_eq!(below.len(), 3);
            let layer = index / 100 - 1;
            assert!(below.iter().all(|it| *it as usize / 100 == layer));
        }
    }

    #[test]
    fn one_component_a_layer_is_slow_and_no_two_are_in_one_lane() {
        let parts = Shape::Skew.parts(1_000);
        let slow = |it: &usize| !parts[*it].start.is_zero();
        let slow: Vec<_> = (0..1_000).filter(slow).collect();
        let place: Vec<_> = slow.iter().map(|it| (it / 100, it % 100)).collect();
        assert_eq!(place, (0..10).map(|it| (it, it * 10)).collect::<Vec<_>>());
    }

    #[test]
    fn a_shape_is_found_by_its_name() {
        for shape in Shape::ALL {
            assert_eq!(shape.name().parse(), Ok(shape));
        }
        assert!("round".parse::<Shape>().is_err());
    }
}
