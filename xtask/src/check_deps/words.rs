//! The rule about words: what a lifecycle crate must not name.

/// The words of `forbidden` that a line names.
pub(crate) fn named_in(line: &str, forbidden: &[&'static str]) -> Vec<&'static str> {
    let line = canonical(&without_urls(line));
    forbidden
        .iter()
        .filter(|it| names(&line, it))
        .copied()
        .collect()
}

/// The lines of a source that are neither comments nor its tests, which come last; each with its place, counted from 0.
pub(crate) fn code_of(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines().enumerate();
    lines
        .take_while(|(_, it)| *it != "#[cfg(test)]")
        .filter(|(_, it)| !it.trim_start().starts_with("//"))
}

/// Writes every spelling of a word alike: `ControlPlane`, `control_plane` and `control plane` all
/// become `control-plane`. Whatever cannot join two words becomes `|`.
pub(crate) fn canonical(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut out = String::with_capacity(line.len() + 8);
    for (at, &char) in chars.iter().enumerate() {
        if begins_part(&chars, at) {
            out.push('-');
        }
        match char {
            '_' | '-' | ' ' => out.push('-'),
            _ if char.is_alphanumeric() => out.extend(char.to_lowercase()),
            _ => out.push('|'),
        }
    }
    out
}

/// Whether a part of a camel-case name, or a number, begins at `at`.
fn begins_part(chars: &[char], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|it| chars[it]) else {
        return false;
    };
    let here = chars[at];
    let after_is_lower = chars.get(at + 1).is_some_and(|it| it.is_lowercase());
    let hump = here.is_uppercase() && before.is_lowercase();
    let end_of_acronym = here.is_uppercase() && before.is_uppercase() && after_is_lower;
    let number = here.is_alphanumeric()
        && before.is_alphanumeric()
        && here.is_numeric() != before.is_numeric();
    hump || end_of_acronym || number
}

/// Whether a canonical line has `word` as a whole word, in the singular or the plural.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let begins = !line[..at].ends_with(char::is_alphanumeric);
        let rest = &line[at + word.len()..];
        let ends = ["", "s", "es"]
            .iter()
            .filter_map(|it| rest.strip_prefix(it));
        begins
            && ends
                .into_iter()
                .any(|it| !it.starts_with(char::is_alphanumeric))
    })
}

/// Replaces each URL by a mark, since a link to a standard names nothing.
fn without_urls(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(colon) = rest.find("://") {
        let scheme = rest[..colon].trim_end_matches(|it: char| it.is_ascii_alphanumeric());
        let url = &rest[colon..];
        let length = url.find(ends_url).unwrap_or(url.len());
        out.push_str(scheme);
        out.push('|');
        rest = &url[length..];
    }
    out + rest
}

fn ends_url(char: char) -> bool {
    char.is_whitespace() || matches!(char, ')' | '>' | ']' | '"' | '\'' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &[&str] = &[
        "control-plane",
        "dispatcher",
        "g-rpc",
        "grpc",
        "http",
        "hyper",
        "mesh",
    ];

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        assert_eq!(named_in(line, WORDS), expected, "{line}");
    }

    #[test]
    fn a_word_is_found_in_every_spelling() {
        check("// The Dispatcher starts it.", &["dispatcher"]);
        check("struct MyDispatcher;", &["dispatcher"]);
        check("fn for_all_dispatchers()", &["dispatcher"]);
        check("mod control_plane;", &["control-plane"]);
        check("the control plane", &["control-plane"]);
        check("ControlPlaneHost", &["control-plane"]);
        check("control-plane-host", &["control-plane"]);
        check("HTTPServer, HTTP2", &["http"]);
        check("a gRPC call", &["g-rpc"]);
        check("GrpcInbound", &["grpc"]);
        check("hyper-util = \"1\"", &["hyper"]);
        check("use mesh::gossip;", &["mesh"]);
    }

    #[test]
    fn a_part_of_a_word_is_not_the_word() {
        check("dispatch, hyperscale, meshwork, control the plane", &[]);
        check("control. Plane", &[]);
    }

    #[test]
    fn a_path_is_a_word_too() {
        let words = ["tokio||spawn", "join-set"];
        assert_eq!(named_in("tokio::spawn(f)", &words), ["tokio||spawn"]);
        assert_eq!(named_in("JoinSet::new()", &words), ["join-set"]);
        assert_eq!(named_in("cx.spawn(\"a\", f); spawn()", &words), [""; 0]);
    }

    #[test]
    fn comments_and_tests_are_no_code() {
        let source = "//! a\nuse b; // c\n    /// d\ne();\n\n#[cfg(test)]\nmod tests {}\n";
        let code: Vec<_> = code_of(source).filter(|(_, it)| !it.is_empty()).collect();
        assert_eq!(code, [(1, "use b; // c"), (3, "e();")]);
    }

    #[test]
    fn a_url_names_nothing() {
        check(
            "//! See <https://www.rfc-editor.org/rfc/http-grpc> there.",
            &[],
        );
        check("url.strip_prefix(\"http://\")", &[]);
        check("[it](http://a.b/dispatcher) is http", &["http"]);
    }
}
