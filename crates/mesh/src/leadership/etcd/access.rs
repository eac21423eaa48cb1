//! [`Access`]: by what etcd is to be trusted, and by what it is to know this node.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use crate::leadership::config::{EtcdOptions, StoreFault};
use crate::leadership::password::Password;

/// A member that does not accept a connection by then is left for another.
const CONNECT: Duration = Duration::from_millis(500);

/// A connection on which nothing comes back is closed.
const PING: Duration = Duration::from_secs(2);

/// Where certificates and the password are. They are read with each connection, since they may be replaced meanwhile.
pub(super) struct Access(EtcdOptions);

impl Access {
    /// Reads everything once, so that what is wrong is known before anything is connected to.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, StoreFault> {
        let access = Self(options.clone());
        access.read()?;
        Ok(access)
    }

    pub(super) fn options(&self) -> &EtcdOptions {
        &self.0
    }

    /// What a connection is made with, as it is now. Blocks while files are read.
    pub(super) fn read(&self) -> Result<ConnectOptions, StoreFault> {
        let connect = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING, PING)
            .with_require_leader(true);
        let connect = match tls(&self.0)? {
            Some(tls) => connect.with_tls(tls),
            None => connect,
        };
        Ok(match login(&self.0)? {
            Some((user, password)) => connect
                .with_user(user, password.reveal())
                // Tokens run out, and end when etcd starts anew.
                .with_auto_token_refresh(true),
            None => connect,
        })
    }
}

fn login(options: &EtcdOptions) -> Result<Option<(&str, Password)>, StoreFault> {
    let password = match (&options.password, &options.password_file) {
        (Some(_), Some(_)) => {
            let rule = "names a password, while there is one that is in no file";
            return Err(fault("password-file", rule));
        }
        (Some(password), None) => Some(password.clone()),
        (None, Some(path)) => Some(Password::read(path).map_err(|it| fault("password-file", it))?),
        (None, None) => None,
    };
    match (options.user.as_deref().map(str::trim), password) {
        (None, None) => Ok(None),
        (Some(""), _) => Err(fault("user", "is blank")),
        (Some(user), Some(password)) => Ok(Some((user, password))),
        (Some(_), None) => Err(fault("user", "has no password")),
        (None, Some(_)) => Err(fault("user", "is missing, while there is a password")),
    }
}

fn tls(options: &EtcdOptions) -> Result<Option<TlsOptions>, StoreFault> {
    let Some(ca) = &options.ca else {
        if options.certificate.is_some() || options.key.is_some() {
            return Err(fault(
                "ca",
                "is missing, while there is a certificate or a key",
            ));
        }
        return Ok(None);
    };
    let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read("ca", ca)?));
    match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let identity = Identity::from_pem(read("certificate", certificate)?, read("key", key)?);
            Ok(Some(tls.identity(identity)))
        }
        (None, None) => Ok(Some(tls)),
        (Some(_), None) => Err(fault("key", "is missing, while there is a certificate")),
        (None, Some(_)) => Err(fault("certificate", "is missing, while there is a key")),
    }
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, StoreFault> {
    fs::read(path).map_err(|error| fault(option, format!("{}: {error}", path.display())))
}

pub(super) fn fault(option: &'static str, rule: impl Into<String>) -> StoreFault {
    StoreFault::Option {
        option,
        rule: rule.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &EtcdOptions) -> String {
        let refused = Access::new(options).map(drop);
        refused.unwrap_err().to_string()
    }

    #[test]
    fn half_of_what_is_needed_is_refused_with_what_is_missing() {
        let none = EtcdOptions::default();
        let half = EtcdOptions {
            key: Some("key.pem".into()),
            ..none.clone()
        };
        assert!(refused(&half).contains("`ca` is missing"));
        let absent = EtcdOptions {
            ca: Some("/nowhere/ca.pem".into()),
            ..none.clone()
        };
        assert!(refused(&absent).contains("/nowhere/ca.pem"));
        let user = EtcdOptions {
            user: Some("plane".to_owned()),
            ..none.clone()
        };
        assert!(refused(&user).contains("`user` has no password"));
        let nobody = EtcdOptions {
            password: Password::new("secret"),
            ..none.clone()
        };
        assert!(refused(&nobody).contains("`user` is missing"));
        let both = EtcdOptions {
            password_file: Some("/nowhere/password".into()),
            ..nobody
        };
        assert!(refused(&both).contains("in no file"));
        let absent = EtcdOptions {
            password_file: Some("/nowhere/password".into()),
            ..user
        };
        assert!(refused(&absent).contains("`password-file` /nowhere/password: "));
        assert!(Access::new(&none).is_ok());
    }
}
