//! [`Access`]: who may ask, as a host is told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::credentials::{
    CertificateScopes, Credentials, Scope, ScopeError, TokenFileError, TokenVariableError,
};

/// Who may ask, as a configuration says it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// A file of tokens.
    pub file: Option<&'a Path>,
    /// A variable of tokens, with its value; asked when there is no file.
    pub variable: Option<(&'a str, Option<&'a str>)>,
    /// Names of client certificates, with the scopes that they are good for.
    pub certificates: &'a BTreeMap<String, String>,
    /// Whether everybody is let in, where there is nothing to show.
    pub everybody: bool,
}

/// What a host was told makes no sense. Nothing of a token is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The file of tokens cannot be used.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// The variable of tokens cannot be used.
    #[error(transparent)]
    Variable(#[from] TokenVariableError),
    /// A name of a certificate is good for something that is no scope.
    #[error("the certificate \"{name}\" is good for nothing that is known")]
    Scope {
        /// The name.
        name: String,
        /// What is a scope.
        #[source]
        source: ScopeError,
    },
}

impl Access<'_> {
    /// Reads the tokens, and makes the credentials.
    ///
    /// # Errors
    ///
    /// [`AccessError`] with the first that makes no sense; of tokens, all that is wrong with them.
    pub fn credentials(&self) -> Result<Credentials, AccessError> {
        let credentials = match (self.file, self.variable) {
            (Some(path), _) => Credentials::from_file(path)?,
            (None, Some((name, value))) => Credentials::from_variable(name, value)?,
            (None, None) if self.everybody && self.certificates.is_empty() => {
                Credentials::everybody()
            }
            (None, None) => Credentials::default(),
        };
        if self.certificates.is_empty() {
            return Ok(credentials);
        }
        let mut scopes = CertificateScopes::default();
        for (name, scope) in self.certificates {
            let scope: Result<Scope, _> = scope.parse();
            let wrong = |source| AccessError::Scope {
                name: name.clone(),
                source,
            };
            scopes = scopes.grant(name, scope.map_err(wrong)?);
        }
        Ok(credentials.certificates(scopes))
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("file", &self.file)
            .field("variable", &self.variable.map(|it| it.0))
            .field("certificates", &self.certificates)
            .field("everybody", &self.everybody)
            .finish()
    }
}
