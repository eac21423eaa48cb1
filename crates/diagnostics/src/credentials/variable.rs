//! [`TokenVariableError`]: tokens in a variable of the environment.

use std::sync::Arc;

use crate::credentials::Token;
use crate::credentials::lines::{self, Listed, TokenFault};

/// A variable of tokens that cannot be used. Nothing of a token is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenVariableError {
    /// There is no such variable.
    #[error(
        "the variable {name}, which shall have tokens, is not set; set it to `name scope token`"
    )]
    Unset {
        /// Its name.
        name: String,
    },
    /// There is nothing in it.
    #[error("the variable {name}, which shall have tokens, is blank; set it to `name scope token`")]
    Blank {
        /// Its name.
        name: String,
    },
    /// It is there, and wrong.
    #[error("the tokens in the variable {name} are wrong:{}", Listed(faults))]
    Faulty {
        /// Its name.
        name: String,
        /// All that is wrong; never empty. A line is a token: what ends at a `;` is one too.
        faults: Vec<TokenFault>,
    },
}

pub(super) fn read(name: String, value: Option<&str>) -> Result<Arc<[Token]>, TokenVariableError> {
    let Some(text) = value else {
        return Err(TokenVariableError::Unset { name });
    };
    if text.trim().is_empty() {
        return Err(TokenVariableError::Blank { name });
    }
    let lines = text.split(['\n', ';']);
    lines::parse(lines).map_err(|faults| TokenVariableError::Faulty { name, faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(value: Option<&str>) -> Result<Vec<String>, TokenVariableError> {
        let tokens = read("TOKENS".to_owned(), value)?;
        Ok(tokens.iter().map(|it| it.name().to_owned()).collect())
    }

    #[test]
    fn tokens_are_one_a_line_or_have_a_semicolon_between_them() {
        let both = Ok(vec!["alice".to_owned(), "bob".to_owned()]);
        for between in ["\n", ";", " ; ", "\n# the second\n"] {
            let text = format!(
                "alice mesh.operate aaaaaaaaaaaaaaaa{between}bob mesh.read bbbbbbbbbbbbbbbb"
            );
            assert_eq!(tokens(Some(&text)), both, "{between:?}");
        }
    }

    #[test]
    fn a_variable_that_is_unset_blank_or_wrong_is_named_and_not_quoted() {
        let name = || "TOKENS".to_owned();
        assert_eq!(
            tokens(None),
            Err(TokenVariableError::Unset { name: name() })
        );
        for blank in ["", " \n"] {
            let refused = tokens(Some(blank));
            assert_eq!(refused, Err(TokenVariableError::Blank { name: name() }));
        }
        let secret = "s3cr3ts3cr3ts3cr3t";
        let wrong = tokens(Some(&format!("a mesh.read {secret};b {secret}")));
        let said = wrong.expect_err("it is wrong").to_string();
        assert!(
            said.contains("TOKENS") && said.contains("line 2:"),
            "{said}"
        );
        assert!(!said.contains(secret), "{said}");
    }
}
