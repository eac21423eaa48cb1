//! [`Pattern`]: names with `*` and `?`.

/// A name in which `*` stands for any number of characters, none included, and `?` for one. Compared without regard to ASCII
/// case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern(Vec<char>);

impl Pattern {
    /// The pattern that `name` is; `None` when it is a plain name.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let is_pattern = name.contains(['*', '?']);
        is_pattern.then(|| Self(name.to_ascii_lowercase().chars().collect()))
    }

    /// How many characters of it stand for themselves.
    pub(crate) fn literals(&self) -> usize {
        self.0.iter().filter(|it| !matches!(it, '*' | '?')).count()
    }

    /// Whether `name` is one that it stands for. Takes time in the product of the lengths at most, whatever either has in it.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_ascii_lowercase().chars().collect();
        let (mut at, mut of_name) = (0, 0);
        // The last star, and how much of the name was left when it took in nothing yet.
        let mut star = None;
        while of_name < name.len() {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, of_name));
                    at += 1;
                }
                Some(it) if *it == '?' || *it == name[of_name] => {
                    at += 1;
                    of_name += 1;
                }
                _ => {
                    let Some((place, taken)) = star else {
                        return false;
                    };
                    star = Some((place, taken + 1));
                    (at, of_name) = (place + 1, taken + 1);
                }
            }
        }
        self.0[at..].iter().all(|it| *it == '*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("a pattern")
    }

    #[test]
    fn a_star_is_any_number_and_a_question_mark_is_one() {
        for (text, name, expected) in [
            ("*", "", true),
            ("pets::*", "Pets::list", true),
            ("pets::*", "pets::", true),
            ("pets::*", "pet::list", false),
            ("*::list", "pets::list", true),
            ("*::list", "pets::lists", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("v?", "v1", true),
            ("v?", "v", false),
            ("v?", "v12", false),
            ("?*", "", false),
            ("**?", "x", true),
        ] {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        }
        assert_eq!(Pattern::new("plain"), None);
        assert_eq!(pattern("a*b?").literals(), 2);
    }

    #[test]
    fn a_hostile_name_takes_no_longer_than_the_product_of_the_lengths() {
        let text = "a*".repeat(200) + "b";
        assert!(!pattern(&text).matches(&"a".repeat(20_000)));
    }

    /// The definition, as it would be written down.
    fn defined(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                defined(rest, name) || (!name.is_empty() && defined(pattern, &name[1..]))
            }
            (Some((it, rest)), Some((char, more))) => {
                (*it == '?' || it == char) && defined(rest, more)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_as_defined(text in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            let text = format!("{text}*");
            let (wanted, chars): (Vec<_>, Vec<_>) = (text.chars().collect(), name.chars().collect());
            prop_assert_eq!(pattern(&text).matches(&name), defined(&wanted, &chars));
        }
    }
}
