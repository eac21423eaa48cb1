//! The trace that a call belongs to, in headers: W3C Trace Context, level 1.
//!
//! What is not exactly as the recommendation has it is as if it were not there: then a trace begins anew, rather than that hops of
//! strangers are tied together.

use std::num::{NonZeroU64, NonZeroU128};

use tower::util::rng::Rng;

use crate::headers::Headers;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// How long a `traceparent` is, of which later versions may have more, and how much of that is looked at.
const PARENT_LENGTH: usize = 55;
const LONGEST_PARENT: usize = 256;

/// The bit that says that a trace is sampled. All others are not ours to pass on.
const SAMPLED: u8 = 1;

/// What a `tracestate` may have: members, and bytes with the commas between them.
const MEMBERS: usize = 32;
const STATE_BYTES: usize = 512;

/// One hop of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    trace: NonZeroU128,
    span: NonZeroU64,
    is_sampled: bool,
}

impl Place {
    /// The first hop of a trace.
    pub(super) fn first(is_sampled: bool, chance: &mut impl Rng) -> Self {
        let (high, low) = (chance.next_u64(), chance.next_u64());
        let trace = u128::from(high) << 64 | u128::from(low);
        Self {
            trace: NonZeroU128::new(trace).unwrap_or(NonZeroU128::MIN),
            span: any(chance),
            is_sampled,
        }
    }

    /// The next hop of the same trace.
    pub(super) fn next(self, chance: &mut impl Rng) -> Self {
        Self {
            span: any(chance),
            ..self
        }
    }

    pub(super) fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    pub(super) fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether somebody is to keep it.
    pub(super) const fn is_sampled(self) -> bool {
        self.is_sampled
    }

    fn parse(text: &str) -> Option<Self> {
        let (known, further) = text.split_at_checked(PARENT_LENGTH)?;
        let mut fields = known.split('-');
        let mut field = |digits| hexadecimal(fields.next()?, digits);
        let (version, trace) = (field(2)?, field(32)?);
        let (span, flags) = (field(16)?, field(2)?);
        let is_complete = match version {
            0 => further.is_empty(),
            // It is no version, and never will be.
            0xff => false,
            _ => further.is_empty() || further.starts_with('-'),
        };
        let is_read = is_complete && fields.next().is_none() && text.len() <= LONGEST_PARENT;
        is_read.then_some(())?;
        Some(Self {
            trace: NonZeroU128::new(trace)?,
            span: NonZeroU64::new(u64::try_from(span).ok()?)?,
            is_sampled: flags & u128::from(SAMPLED) != 0,
        })
    }

    fn written(self) -> String {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

/// Where a call comes from. What of that cannot be read is removed.
pub(super) fn received(headers: &mut Headers) -> Option<Place> {
    let parent = only(headers.all(PARENT)).and_then(Place::parse);
    if parent.is_none() {
        headers.remove(PARENT);
    }
    // Without the one the other means nothing.
    if parent.is_none() || !is_state(headers) {
        headers.remove(STATE);
    }
    parent
}

/// Says to whoever is called next from where that comes.
pub(super) fn pass_on(place: Place, headers: &mut Headers) {
    headers.remove(PARENT);
    let written = headers.append(PARENT, place.written());
    written.expect("digits and dashes are a value");
}

/// The only one that there is.
fn only<'a>(mut values: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

fn any(chance: &mut impl Rng) -> NonZeroU64 {
    NonZeroU64::new(chance.next_u64()).unwrap_or(NonZeroU64::MIN)
}

/// A number of so many hexadecimal digits, in lower case.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
    let is_number = text.len() == digits && text.bytes().all(is_digit);
    is_number.then(|| u128::from_str_radix(text, 16).ok())?
}

/// Whether all that is there of it is one list of members, each with a key of its own.
fn is_state(headers: &Headers) -> bool {
    let lists = || headers.all(STATE);
    let bytes: usize = lists().map(|it| it.len() + 1).sum();
    if bytes > STATE_BYTES + 1 {
        return false;
    }
    let members = lists().flat_map(|it| it.split(',')).map(str::trim);
    let mut keys = Vec::new();
    for member in members.filter(|it| !it.is_empty()) {
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MEMBERS {
            return false;
        }
        keys.push(key);
    }
    true
}

/// A vendor, or a tenant of one: `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let is_rest = |it: &[u8]| {
        let may_be =
            |it: &u8| it.is_ascii_digit() || it.is_ascii_lowercase() || b"_-*/".contains(it);
        it.iter().all(may_be)
    };
    let begins = |it: &str, longest: usize, digit: bool| match it.as_bytes() {
        [first, rest @ ..] => {
            let may_begin = first.is_ascii_lowercase() || digit && first.is_ascii_digit();
            may_begin && rest.len() < longest && is_rest(rest)
        }
        [] => false,
    };
    match key.split_once('@') {
        Some((tenant, vendor)) => begins(tenant, 241, true) && begins(vendor, 14, false),
        None => begins(key, 256, false),
    }
}

fn is_value(value: &str) -> bool {
    let may_be = |it: u8| matches!(it, b' '..=b'~') && !b",=".contains(&it);
    let is_of_length = (1..=256).contains(&value.len());
    is_of_length && value.bytes().all(may_be) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(values: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in values {
            headers.append(*name, *value).expect("a header");
        }
        headers
    }

    /// What is left of a `tracestate` beside a good `traceparent`.
    fn state_of(values: &[&str]) -> Vec<String> {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let mut headers = headers(&[(PARENT, &parent)]);
        for value in values {
            headers.append(STATE, *value).expect("a header");
        }
        received(&mut headers).expect("a place");
        headers.all(STATE).map(str::to_owned).collect()
    }

    #[test]
    fn a_place_is_written_as_it_was_read_and_the_next_one_stays_in_the_trace() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let place = Place::parse(&text).expect("a place");
            assert_eq!(place.written(), text);
            let next = place.next(&mut tower::util::rng::HasherRng::new());
            assert_ne!(next.span, place.span);
            let (trace, span) = (next.trace_id(), next.span_id());
            assert_eq!(trace, TRACE);
            assert_eq!(next.written(), format!("00-{TRACE}-{span}-{flags}"));
        }
    }

    #[test]
    fn of_a_later_version_the_known_part_is_read_and_of_flags_only_the_known_one_is_kept() {
        for (text, flags) in [
            (format!("01-{TRACE}-{SPAN}-01"), "01"),
            (format!("cc-{TRACE}-{SPAN}-00-what-comes-next"), "00"),
            (format!("00-{TRACE}-{SPAN}-ff"), "01"),
            (format!("00-{TRACE}-{SPAN}-fe"), "00"),
        ] {
            let place = Place::parse(&text).expect("a place");
            assert_eq!(
                place.written(),
                format!("00-{TRACE}-{SPAN}-{flags}"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_parent_is_as_if_it_were_not_there_and_takes_the_state_along() {
        let none = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("01-{TRACE}-{SPAN}-01x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{none}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &none[..16]),
            format!("00-{TRACE}-+0f067aa0ba902b7-01"),
            format!("00-{SPAN}-{TRACE}-01"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-0\u{fc}"),
            format!("01-{TRACE}-{SPAN}-01-{}", "x".repeat(LONGEST_PARENT)),
        ] {
            let mut headers = headers(&[(PARENT, &text), (STATE, "a=1"), ("x-own", "1")]);
            assert_eq!(received(&mut headers), None, "{text}");
            let left: Vec<_> = headers.iter().collect();
            assert_eq!(left, [("x-own", "1")], "{text}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        let mut twice = headers(&[(PARENT, &good), ("Traceparent", &good)]);
        assert_eq!(received(&mut twice), None);
        assert_eq!(twice, Headers::new());
    }

    #[test]
    fn a_state_is_kept_as_it_came_and_what_is_none_is_dropped_whole() {
        let members = |count: usize| {
            let members = (0..count).map(|it| format!("k{it}=v"));
            members.collect::<Vec<_>>().join(",")
        };
        let long = |bytes: usize| format!("a={},b={}", "x".repeat(256), "y".repeat(bytes - 261));
        for values in [
            &["a=1"][..],
            &["congo=t61rcWkgMzE, rojo=00f067aa0ba902b7"],
            &["a=1", "b=2"],
            &["a=1,,b=2,"],
            &["fw529a3039@dt=FfLdm!/~", "0tenant@v=x"],
            &[&members(MEMBERS)],
            &[&long(STATE_BYTES)],
        ] {
            assert_eq!(state_of(values), values);
        }
        for values in [
            &["a"][..],
            &["a="],
            &["=1"],
            &["A=1"],
            &["1a=1"],
            &["a=1=2"],
            &["a=\u{fc}"],
            &["a=1,a=2"],
            &["a=1", "b=2", "a=3"],
            &["@v=1"],
            &["t@=1"],
            &["t@1=1"],
            &["t@fifteen-letters=1"],
            &[&members(MEMBERS + 1)],
            &[&long(STATE_BYTES + 1)],
        ] {
            assert_eq!(state_of(values), [""; 0], "{values:?}");
        }
    }

    #[test]
    fn ids_of_new_traces_are_their_own() {
        let mut chance = tower::util::rng::HasherRng::new();
        let places: Vec<_> = (0..1_000)
            .map(|_| Place::first(true, &mut chance))
            .collect();
        let distinct = |id: &dyn Fn(&Place) -> String| {
            let ids: std::collections::HashSet<_> = places.iter().map(id).collect();
            ids.len()
        };
        assert_eq!(distinct(&|it| it.trace_id()), 1_000);
        assert_eq!(distinct(&|it| it.span_id()), 1_000);
        for place in &places {
            assert_eq!(Place::parse(&place.written()), Some(*place));
        }
    }
}
