//! What is measured, and of whom.

/// Shapes, and how many components each has.
pub(super) const FULL: &[(&str, &[usize])] = &[
    ("flat", &[1_000, 10_000, 100_000]),
    ("chain", &[1_000, 10_000, 100_000]),
    ("diamond", &[1_000, 10_000, 100_000]),
    ("layers", &[1_000, 10_000, 100_000]),
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

/// How many components a peer is asked for at most, and in the words of the tables why not for more.
const MOST: &[(&str, usize, &str)] = &[
    // Each service is a runtime with a thread and several descriptors of its own.
    ("pingora-core", 1_000, "a thread each"),
    // Whatever begins or ends, it looks through all its children.
    ("rust-tokio-supervisor", 10_000, "quadratic"),
];

/// Other shapes than `flat` that peers are asked for a hundred thousand of. More would make a full run longer than half an hour.
const LARGE: &[&str] = &["chain", "layers"];

/// Who is asked for those: each takes some seconds there. Who starts one after the other takes a quarter of an hour for layers.
const FAST: &[&str] = &[
    "supervised",
    "task-supervisor",
    "tokio-graceful-shutdown",
    "ractor",
    "kameo",
];

/// Why a contender is not run with so many, if so.
pub(super) fn beyond(contender: &str, count: usize) -> Option<&'static str> {
    let found = MOST.iter().find(|it| it.0 == contender && count > it.1);
    found.map(|it| it.2)
}

/// Whether a peer takes part; a dash in the tables when not.
pub(super) fn asks_peer(peer: &str, shape: &str, count: usize) -> bool {
    let is_fast = || LARGE.contains(&shape) && FAST.contains(&peer);
    count <= 10_000 || shape == "flat" || is_fast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::root;

    /// A name that nobody has would leave out nobody.
    #[test]
    fn everybody_who_is_spoken_of_is_a_peer() {
        for name in MOST.iter().map(|it| it.0).chain(FAST.iter().copied()) {
            let file = format!("crates/bench/peers/src/{}.rs", name.replace('-', "_"));
            let source = std::fs::read_to_string(root().join(&file));
            let source = source.unwrap_or_else(|it| panic!("{file}: {it}"));
            assert!(source.contains(&format!("name: \"{name}\"")), "{file}");
        }
    }

    #[test]
    fn a_peer_is_run_up_to_its_limit_and_not_beyond_it() {
        assert_eq!(beyond("pingora-core", 1_000), None);
        assert_eq!(beyond("pingora-core", 10_000), Some("a thread each"));
        assert_eq!(beyond("rust-tokio-supervisor", 10_000), None);
        assert_eq!(beyond("ours", 100_000), None);
    }

    #[test]
    fn a_hundred_thousand_are_asked_of_all_peers_in_one_shape_and_else_of_those_that_are_fast() {
        assert!(asks_peer("appcore-supervisor", "flat", 100_000));
        assert!(asks_peer("appcore-supervisor", "chain", 10_000));
        assert!(!asks_peer("appcore-supervisor", "chain", 100_000));
        assert!(asks_peer("task-supervisor", "layers", 100_000));
        assert!(!asks_peer("task-supervisor", "diamond", 100_000));
    }

    #[test]
    fn what_is_asked_of_those_that_are_fast_is_in_the_plan() {
        for shape in LARGE {
            let counts = FULL.iter().find(|it| it.0 == *shape).map(|it| it.1);
            assert!(counts.is_some_and(|it| it.contains(&100_000)), "{shape}");
        }
    }
}
