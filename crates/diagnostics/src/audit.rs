//! [`Entry`]: the one log line that every request to change something leaves, whatever became of it.
//!
//! It is at the target `lifecycle::audit`: level info for what was let through, warn for what was refused.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::problem::Problem;

/// The most bytes of a text of a client in a line.
const TEXT_LIMIT: usize = 512;

/// What a line tells, until it is known what became of the request.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name of the token, or that nobody was asked.
    pub(crate) who: String,
    /// Where the request came from, where the listener tells.
    pub(crate) peer: Option<SocketAddr>,
    /// What was wanted.
    pub(crate) what: Cow<'static, str>,
    pub(crate) component: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Entry {
    /// It has begun, and goes on without who asked.
    pub(crate) fn begun(&self) {
        self.accepted("begun");
    }

    /// It is done, well or not.
    pub(crate) fn done(&self) {
        self.accepted("done");
    }

    fn accepted(&self, outcome: &str) {
        tracing::info!(
            target: "lifecycle::audit",
            event = "audit",
            who = &*printable(&self.who),
            what = &*printable(&self.what),
            component = self.component.as_deref().map(|it| display(printable(it))),
            reason = self.reason.as_deref().map(|it| display(printable(it))),
            outcome,
            peer = self.peer.map(display),
            "somebody changes something",
        );
    }

    /// Nothing has changed.
    pub(crate) fn refused(&self, problem: &Problem) {
        tracing::warn!(
            target: "lifecycle::audit",
            event = "audit",
            who = &*printable(&self.who),
            what = &*printable(&self.what),
            component = self.component.as_deref().map(|it| display(printable(it))),
            reason = self.reason.as_deref().map(|it| display(printable(it))),
            outcome = "refused",
            status = problem.status().as_u16(),
            error = &*printable(problem.detail()),
            peer = self.peer.map(display),
            "a request to change something was refused",
        );
    }
}

/// `text` as a log line may have it: no control character as it is, and no more than the limit.
fn printable(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_LIMIT && !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut written = String::new();
    for character in text.chars() {
        if written.len() >= TEXT_LIMIT {
            written.push('…');
            break;
        }
        if is_unprintable(character) {
            written.extend(character.escape_unicode());
        } else {
            written.push(character);
        }
    }
    Cow::Owned(written)
}

/// Whether `character` could forge a line, or hide a part of one: controls, separators of lines, and what turns the
/// direction of writing.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(printable("ticket 4711: größer"), "ticket 4711: größer");
        assert_eq!(printable("a\nb\u{1b}[2J"), "a\\u{a}b\\u{1b}[2J");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        let cut = printable(&"ü".repeat(400)).into_owned();
        assert!(
            cut.len() <= TEXT_LIMIT + 4 && cut.ends_with('…'),
            "{}",
            cut.len()
        );
    }
}
