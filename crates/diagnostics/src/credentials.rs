//! [`Credentials`]: who may ask what, by bearer tokens and client certificates with scopes.

mod access;
mod certificate;
mod file;
mod lines;
mod variable;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderValue;
use subtle::ConstantTimeEq as _;

pub use crate::credentials::access::{Access, AccessError};
pub use crate::credentials::certificate::CertificateScopes;
use crate::credentials::file::TokenFile;
pub use crate::credentials::file::TokenFileError;
pub use crate::credentials::lines::TokenFault;
pub use crate::credentials::variable::TokenVariableError;

/// Whom the lines of the log name where nobody had to say who they are.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// How many bytes a token has at least: a listener answers many guesses a second, and a token must stand them for years.
const SHORTEST: usize = 16;
/// And at most.
const LONGEST: usize = 512;
/// The most bytes of a token's name.
const LONGEST_NAME: usize = 64;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To look at everything. `mesh.read`.
    Read,
    /// To change things, and to look at everything. `mesh.operate`.
    Operate,
}

impl Scope {
    /// The name on the wire and in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "mesh.read",
            Self::Operate => "mesh.operate",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Read, Self::Operate];
        all.into_iter().find(|it| it.as_str() == name)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// Reads one scope, or several with commas between them, which are the greatest of them.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let scopes: Option<Vec<Self>> = text.split(',').map(|it| Self::named(it.trim())).collect();
        scopes.and_then(|it| it.into_iter().max()).ok_or(ScopeError)
    }
}

/// A scope that is none. Quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is mesh.read or mesh.operate, or both with a comma")]
pub struct ScopeError;

/// A bearer token: what a client sends, what it is called in the log, and what its bearer may do.
///
/// Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct Token {
    name: Arc<str>,
    scope: Scope,
    secret: Arc<str>,
}

impl Token {
    /// A token called `name`, whose bearer may do what `scope` says.
    ///
    /// # Errors
    ///
    /// [`TokenError`] unless the name has 1 to 64 bytes of letters, digits and `-._@:`, is not `anonymous` and does not begin with
    /// `cert:`, and the secret has 16 to 512 bytes of letters, digits and `-._~+/=`. Neither is quoted.
    pub fn new(
        name: impl Into<String>,
        scope: Scope,
        secret: impl Into<String>,
    ) -> Result<Self, TokenError> {
        let (name, secret) = (name.into(), secret.into());
        check_name(&name)?;
        check_secret(&secret)?;
        Ok(Self {
            name: name.into(),
            scope,
            secret: secret.into(),
        })
    }

    /// What its bearer is called in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its bearer may do.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }
}

/// A token that is none. Says what is wrong, and quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name is empty, too long or has other characters.
    #[error("the name of a token has 1 to 64 letters, digits and -._@:")]
    Name,
    /// The name is that of those who show no token.
    #[error("\"anonymous\" is who shows no token; choose another name")]
    Anonymous,
    /// The name is one that a client certificate could have in the log.
    #[error("names with cert: in front are those of client certificates; choose another name")]
    Certificate,
    /// The secret is too short or too long.
    #[error("a token has 16 to 512 bytes; make one with `openssl rand -hex 32`")]
    Length,
    /// The secret has characters that no header can carry as a token.
    #[error("a token is made of letters, digits and -._~+/=")]
    Characters,
}

fn check_name(name: &str) -> Result<(), TokenError> {
    let fits = |it: char| it.is_ascii_alphanumeric() || "-._@:".contains(it);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        return Err(TokenError::Name);
    }
    if name.eq_ignore_ascii_case(ANONYMOUS) {
        return Err(TokenError::Anonymous);
    }
    match name.starts_with(certificate::PREFIX) {
        true => Err(TokenError::Certificate),
        false => Ok(()),
    }
}

fn check_secret(secret: &str) -> Result<(), TokenError> {
    // What RFC 6750 lets a bearer token be.
    let fits = |it: char| it.is_ascii_alphanumeric() || "-._~+/=".contains(it);
    if !(SHORTEST..=LONGEST).contains(&secret.len()) {
        return Err(TokenError::Length);
    }
    match secret.chars().all(fits) {
        true => Ok(()),
        false => Err(TokenError::Characters),
    }
}

/// Reads tokens as somebody may have written them down.
#[cfg(fuzzing)]
pub(crate) fn fuzz_tokens(text: &str) {
    if let Err(faults) = lines::parse(text.lines()) {
        let lines = text.lines().count().max(1);
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|it| (1..=lines).contains(&it.line)));
    }
}

/// Who is let in. Cheap to clone; clones share the tokens, also after a reload.
///
/// The probes are open to all, whatever is said here. For the rest:
///
/// | credentials | a listener on loopback | one that other machines can reach |
/// |---|---|---|
/// | none, the default | everybody may do everything | nobody may do anything |
/// | [`everybody`](Self::everybody) | everybody may do everything | the same |
/// | tokens | who shows one, what its scope says | the same |
/// | [`certificates`](Self::certificates) | who shows one, what its names are good for | the same |
///
/// Tokens and certificates may both be let in. Who shows a token is judged by it alone, whatever certificate the connection has.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    source: Source,
    certificates: Option<Arc<CertificateScopes>>,
}

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    None,
    Everybody,
    Given(Arc<[Token]>),
    File(Arc<TokenFile>),
}

impl Credentials {
    /// Lets everybody do everything, also from other machines: for a network that is trusted as a whole.
    #[must_use]
    pub const fn everybody() -> Self {
        Self {
            source: Source::Everybody,
            certificates: None,
        }
    }

    /// Lets in who shows one of `tokens`; nobody, when there are none.
    #[must_use]
    pub fn tokens(tokens: impl IntoIterator<Item = Token>) -> Self {
        Source::Given(tokens.into_iter().collect()).into()
    }

    /// Lets in who shows one of the tokens in the file at `path`: one a line, as `name scope[,scope] token`; blank lines and
    /// those that begin with `#` say nothing. Several tokens may have one name, so that one can be replaced by another.
    ///
    /// The file is looked at again when somebody asks, at most once a second, and read when it has changed. While it cannot be
    /// used the tokens from before go on to hold, and one line of the log says so.
    ///
    /// # Errors
    ///
    /// [`TokenFileError`] when it cannot be read, other users of the machine can read it or group or others can write it (on
    /// Unix), or lines make no sense: then all of these are named.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, TokenFileError> {
        let file = TokenFile::open(path.into(), Instant::now())?;
        Ok(Source::File(Arc::new(file)).into())
    }

    /// Lets in who shows one of the tokens in the variable `name` of the environment, which has the value `value`, or is unset:
    /// written as in a [file](Self::from_file), with `;` or an end of line between two. It is not read again.
    ///
    /// # Errors
    ///
    /// [`TokenVariableError`] when it is unset or blank, or what is in it makes no sense: then all that is wrong is named.
    pub fn from_variable(
        name: impl Into<String>,
        value: Option<&str>,
    ) -> Result<Self, TokenVariableError> {
        let tokens = variable::read(name.into(), value)?;
        Ok(Source::Given(tokens).into())
    }

    /// Lets in besides who shows a client certificate, by what its names are good for; then loopback is not open to all any more,
    /// also without tokens. Changes nothing where [everybody](Self::everybody) is let in.
    ///
    /// It is for the listener to ask for certificates, and to refuse those of other CAs, or of another time:
    /// [`DiagnosticsBuilder::tls`](crate::DiagnosticsBuilder::tls).
    #[must_use]
    pub fn certificates(mut self, scopes: CertificateScopes) -> Self {
        self.certificates = Some(Arc::new(scopes));
        self
    }

    /// Reads the file again now. Nothing, where there is none.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file); the tokens from before go on to hold.
    pub fn reload(&self) -> Result<(), TokenFileError> {
        match &self.source {
            Source::File(file) => file.reload(),
            Source::None | Source::Everybody | Source::Given(_) => Ok(()),
        }
    }

    pub(crate) fn has_tokens(&self) -> bool {
        matches!(self.source, Source::Given(_) | Source::File(_))
    }

    /// Whether who shows this may do what `wanted` says, on a listener that is on loopback or not: for listeners that are none of
    /// HTTP's. Who shows a wrong token should wait for the answer, or they may guess many.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with the reason.
    pub fn permit(
        &self,
        shown: Shown<'_>,
        wanted: Scope,
        on_loopback: bool,
    ) -> Result<(), Refusal> {
        self.judge(shown, wanted, on_loopback).map(drop)
    }

    /// Who asks and has shown what `shown` says, if they may do what `wanted` says on a listener that is on loopback or not.
    pub(crate) fn judge(
        &self,
        shown: Shown<'_>,
        wanted: Scope,
        on_loopback: bool,
    ) -> Result<Caller, Refusal> {
        let tokens = match &self.source {
            Source::Everybody => return Ok(Caller::anonymous()),
            Source::None if self.certificates.is_some() => Arc::default(),
            Source::None if on_loopback => return Ok(Caller::anonymous()),
            Source::None => return Err(Refusal::NobodyMay),
            Source::Given(tokens) => Arc::clone(tokens),
            Source::File(file) => file.tokens(Instant::now()),
        };
        let (who, scope) = match (shown.authorization, shown.certificate, &self.certificates) {
            (Some(header), _, _) => by_token(&tokens, header)?,
            (None, Some(certificate), Some(scopes)) => scopes.judge(certificate)?,
            (None, _, _) => return Err(Refusal::NothingShown(self.accepted())),
        };
        match scope >= wanted {
            true => Ok(Caller { who }),
            false => Err(Refusal::NotAllowed { who, wanted }),
        }
    }

    fn accepted(&self) -> Accepted {
        match (self.has_tokens(), self.certificates.is_some()) {
            (_, false) => Accepted::Tokens,
            (false, true) => Accepted::Certificates,
            (true, true) => Accepted::Both,
        }
    }
}

impl From<Source> for Credentials {
    fn from(source: Source) -> Self {
        Self {
            source,
            certificates: None,
        }
    }
}

fn by_token(tokens: &[Token], header: &HeaderValue) -> Result<(Arc<str>, Scope), Refusal> {
    let token = bearer(header).and_then(|it| find(tokens, it));
    let token = token.ok_or(Refusal::WrongToken)?;
    Ok((Arc::clone(&token.name), token.scope))
}

/// What somebody shows who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The header of that name, with a token.
    pub authorization: Option<&'a HeaderValue>,
    /// The client certificate in DER; the listener has verified it.
    pub certificate: Option<&'a [u8]>,
}

/// What could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A token.
    Tokens,
    /// A client certificate.
    Certificates,
    /// Either.
    Both,
}

/// Whom a request comes from, as far as somebody asked; among the extensions of a request that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) who: Arc<str>,
}

impl Caller {
    fn anonymous() -> Self {
        Self {
            who: ANONYMOUS.into(),
        }
    }
}

/// Why somebody was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing that could be shown.
    NobodyMay,
    /// Neither a token nor a certificate was shown.
    NothingShown(Accepted),
    /// What was shown is none of the tokens.
    WrongToken,
    /// A certificate that does not say whose it is.
    NamelessCertificate,
    /// A certificate of somebody who may do nothing.
    UnknownCertificate {
        /// Whose it is.
        who: Arc<str>,
    },
    /// What was shown is good, and does not allow it.
    NotAllowed {
        /// Who has shown it.
        who: Arc<str>,
        /// What it would have to allow.
        wanted: Scope,
    },
}

/// The token of a header, whose scheme may be written in any case.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Compares with every token, and takes for each as long as any other of its length: how long it takes tells nothing of what
/// is right about `shown`, but whether some token is as long.
fn find<'a>(tokens: &'a [Token], shown: &[u8]) -> Option<&'a Token> {
    tokens.iter().fold(None, |found, token| {
        match bool::from(token.secret.as_bytes().ct_eq(shown)) {
            true => Some(token),
            false => found,
        }
    })
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: &str = "0123456789abcdef";
    const OPERATOR: &str = "fedcba9876543210fedcba9876543210";

    fn both() -> Credentials {
        Credentials::tokens([
            Token::new("grafana", Scope::Read, READER).unwrap(),
            Token::new("alice", Scope::Operate, OPERATOR).unwrap(),
        ])
    }

    fn judged(
        credentials: &Credentials,
        header: Option<&str>,
        wanted: Scope,
    ) -> Result<Arc<str>, Refusal> {
        let header = header.map(|it| HeaderValue::from_str(it).unwrap());
        let shown = Shown {
            authorization: header.as_ref(),
            certificate: None,
        };
        let judged = credentials.judge(shown, wanted, true);
        judged.map(|it| it.who)
    }

    #[test]
    fn a_token_is_good_for_its_scope_and_what_that_implies() {
        let credentials = both();
        let reader = format!("Bearer {READER}");
        let operator = format!("bearer  {OPERATOR} ");
        assert_eq!(
            judged(&credentials, Some(&reader), Scope::Read).as_deref(),
            Ok("grafana")
        );
        assert_eq!(
            judged(&credentials, Some(&operator), Scope::Read).as_deref(),
            Ok("alice")
        );
        assert_eq!(
            judged(&credentials, Some(&operator), Scope::Operate).as_deref(),
            Ok("alice")
        );
        let refused = Refusal::NotAllowed {
            who: "grafana".into(),
            wanted: Scope::Operate,
        };
        assert_eq!(
            judged(&credentials, Some(&reader), Scope::Operate),
            Err(refused)
        );
    }

    #[test]
    fn what_is_no_token_of_ours_is_refused() {
        let credentials = both();
        assert_eq!(
            judged(&credentials, None, Scope::Read),
            Err(Refusal::NothingShown(Accepted::Tokens))
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
            READER,
        ] {
            let refused = judged(&credentials, Some(wrong), Scope::Read);
            assert_eq!(refused, Err(Refusal::WrongToken), "{wrong:?}");
        }
    }

    #[test]
    fn without_credentials_loopback_is_open_and_the_rest_is_closed() {
        let judge = |credentials: Credentials, on_loopback| {
            let judged = credentials.judge(Shown::default(), Scope::Operate, on_loopback);
            judged.map(|it| it.who)
        };
        assert_eq!(
            judge(Credentials::default(), true).as_deref(),
            Ok(ANONYMOUS)
        );
        assert_eq!(
            judge(Credentials::default(), false),
            Err(Refusal::NobodyMay)
        );
        assert_eq!(
            judge(Credentials::everybody(), false).as_deref(),
            Ok(ANONYMOUS)
        );
        // No token at all is not the same as no credentials.
        let refused = |accepted| Err(Refusal::NothingShown(accepted));
        assert_eq!(
            judge(Credentials::tokens([]), true),
            refused(Accepted::Tokens)
        );
        let certificates = Credentials::default().certificates(CertificateScopes::default());
        assert_eq!(judge(certificates, true), refused(Accepted::Certificates));
    }

    #[test]
    fn a_token_that_could_be_guessed_or_not_be_sent_is_none() {
        let token = |name: &str, secret: &str| Token::new(name, Scope::Read, secret).err();
        assert_eq!(token("a", READER), None);
        assert_eq!(token("", READER), Some(TokenError::Name));
        assert_eq!(token("a b", READER), Some(TokenError::Name));
        assert_eq!(token(&"a".repeat(65), READER), Some(TokenError::Name));
        assert_eq!(token("Anonymous", READER), Some(TokenError::Anonymous));
        assert_eq!(token("cert:a", READER), Some(TokenError::Certificate));
        assert_eq!(token("a", "short"), Some(TokenError::Length));
        assert_eq!(token("a", &"a".repeat(513)), Some(TokenError::Length));
        assert_eq!(
            token("a", "0123456789 abcdef"),
            Some(TokenError::Characters)
        );
    }

    #[test]
    fn no_secret_is_shown_by_debug() {
        let shown = format!("{:?}", both());
        assert!(shown.contains("alice"), "{shown}");
        assert!(
            !shown.contains(OPERATOR) && !shown.contains(READER),
            "{shown}"
        );
    }
}
