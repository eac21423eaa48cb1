//! What is measured.

/// Shapes, and how many components each has.
pub(super) const FULL: &[(&str, &[usize])] = &[
    ("flat", &[1_000, 10_000, 100_000]),
    ("chain", &[1_000, 10_000, 100_000]),
    ("diamond", &[1_000, 10_000, 100_000]),
    ("layers", &[1_000, 10_000]),
    ("lanes", &[1_000, 10_000]),
    ("skew", &[1_000, 10_000]),
    ("stop-slow", &[1_000, 10_000]),
    ("crash-storm", &[1_000, 10_000]),
    ("hung", &[1_000, 10_000]),
];

/// What a quick run looks at.
pub(super) const QUICK: &[(&str, usize)] = &[
    ("flat", 2_000),
    ("chain", 2_000),
    ("layers", 1_000),
    ("crash-storm", 1_000),
    ("hung", 1_000),
];

/// Whether the peers are asked as well. A hundred thousand components take most of them many seconds, and one shape of that
/// size says how they grow.
pub(super) fn asks_peers(shape: &str, count: usize) -> bool {
    count <= 10_000 || shape == "flat"
}
