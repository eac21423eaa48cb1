//! [`Argv`]: the command that restarts a host, without a shell.

use crate::endpoint::Endpoint;

/// A program and its arguments, with places for the host.
///
/// Blanks separate words. Single and double quotes keep blanks within a word, and have no other meaning; nothing is
/// escaped. `{host}`, `{port}` and `{endpoint}` are filled in after that, so that no value becomes two words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argv(Vec<String>);

/// What can be filled in.
const PLACES: [&str; 3] = ["host", "port", "endpoint"];

impl Argv {
    /// # Errors
    ///
    /// When there is no word, a quote has no end, or a place is unknown.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        if words.is_empty() {
            return Err("the restart command is empty".to_owned());
        }
        words.iter().try_for_each(|it| check_places(it))?;
        Ok(Self(words))
    }

    /// The program and its arguments for one host.
    pub(super) fn filled(&self, endpoint: &Endpoint) -> (String, Vec<String>) {
        let port = endpoint.port().to_string();
        let values = [endpoint.host(), &port, &endpoint.to_string()].map(str::to_owned);
        let fill = |word: &String| {
            let places = PLACES.iter().zip(&values);
            places.fold(word.clone(), |word, (place, value)| {
                word.replace(&format!("{{{place}}}"), value)
            })
        };
        let mut words = self.0.iter().map(fill);
        let program = words.next().unwrap_or_default();
        (program, words.collect())
    }
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for letter in text.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => word.get_or_insert_default().push(letter),
            None if letter == '\'' || letter == '"' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a quote {open} has no end in {text:?}"));
    }
    words.extend(word);
    Ok(words)
}

/// A misspelt place would restart something else, on every host.
fn check_places(word: &str) -> Result<(), String> {
    for piece in word.split('{').skip(1) {
        let Some((place, _)) = piece.split_once('}') else {
            continue;
        };
        if !PLACES.contains(&place) {
            return Err(format!(
                "{{{place}}} is nothing that can be filled in; there are {{host}}, {{port}} and {{endpoint}}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, endpoint: &str) -> Vec<String> {
        let (program, arguments) = Argv::parse(text)
            .unwrap()
            .filled(&endpoint.parse().unwrap());
        [vec![program], arguments].concat()
    }

    #[test]
    fn words_are_separated_by_blanks_and_kept_by_quotes() {
        let words = filled(r#"ssh  {host} 'a  b' c"d "'e' '' \n"#, "x:1");
        assert_eq!(words, ["ssh", "x", "a  b", "cd e", "", "\\n"]);
    }

    #[test]
    fn places_are_filled_within_words_and_never_make_new_ones() {
        let words = filled("restart x@{host}:{port} {endpoint}", "[::1]:7");
        assert_eq!(words, ["restart", "x@::1:7", "http://[::1]:7"]);
    }

    #[test]
    fn what_cannot_be_a_command_is_refused() {
        for text in ["", "  ", "a 'b", "restart {hsot}"] {
            assert!(Argv::parse(text).is_err(), "{text:?}");
        }
    }
}
