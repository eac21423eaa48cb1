//! [`TokenFault`]: tokens as they are written down, one a line.

use std::fmt;
use std::sync::Arc;

use crate::credentials::{Scope, Token};

/// What is wrong with one line of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFault {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it, and what to do about it. Quotes nothing of the line.
    pub rule: String,
}

/// Faults as a part of one sentence.
pub(super) struct Listed<'a>(pub(super) &'a [TokenFault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            let joint = if position > 0 { ";" } else { "" };
            write!(f, "{joint} line {}: {}", fault.line, fault.rule)?;
        }
        Ok(())
    }
}

/// The tokens in `lines`, or all that is wrong with them.
pub(super) fn parse<'a>(
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<Arc<[Token]>, Vec<TokenFault>> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut faults = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let rule = match parse_line(line) {
            Ok(token) if tokens.iter().any(|it| it.secret == token.secret) => {
                "this token is there already; make another".to_owned()
            }
            Ok(token) => {
                tokens.push(token);
                continue;
            }
            Err(rule) => rule,
        };
        let line = index + 1;
        faults.push(TokenFault { line, rule });
    }
    if tokens.is_empty() && faults.is_empty() {
        let rule =
            "there is no token, so nobody could come in; write `name scope token`".to_owned();
        faults.push(TokenFault { line: 1, rule });
    }
    match faults.is_empty() {
        true => Ok(tokens.into()),
        false => Err(faults),
    }
}

/// Quotes nothing: whatever stands in a line may be a token in the wrong place.
fn parse_line(line: &str) -> Result<Token, String> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let &[name, scopes, secret] = &*parts else {
        let count = parts.len();
        return Err(format!(
            "a line has three words, not {count}; write `name scope[,scope] token`"
        ));
    };
    let scope: Result<Scope, _> = scopes.parse();
    let scope = scope.map_err(|_| {
        "the second word is mesh.read or mesh.operate, or both with a comma".to_owned()
    })?;
    Token::new(name, scope, secret).map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once_and_nothing_is_quoted() {
        let secret = "s3cr3ts3cr3ts3cr3t";
        let text = format!(
            "a mesh.read {secret}\nb mesh.write {secret}x\n{secret}\nc mesh.read short\nd mesh.read {secret}\n"
        );
        let faults = parse(text.lines()).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|it| it.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        let said = format!("{}", Listed(&faults));
        assert!(
            said.contains("line 4: a token has 16 to 512 bytes"),
            "{said}"
        );
        assert!(
            !said.contains(secret) && !said.contains("mesh.write"),
            "{said}"
        );
        assert_eq!(parse("# nobody\n".lines()).unwrap_err().len(), 1);
    }
}
