//! [`Sockets`]: what the service manager has opened for the process.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// Sockets that were open before the process was there, by name; they stay open when it has gone, so that whoever connects while it
/// is restarted waits instead of being refused.
///
/// That is how systemd hands over what a `.socket` unit opens: descriptors from 3 on, with `LISTEN_FDS`, `LISTEN_PID` and
/// `LISTEN_FDNAMES` in the environment (`sd_listen_fds(3)`).
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<String, TcpListener>);

/// Sockets and listeners do not go together. Nothing is listened to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// A listener is to take a socket that there is not: the name is another one, or the process was not started by its socket unit.
    #[error("no socket named {name:?} was handed over, {}: name it by FileDescriptorName in its socket unit", others(.given))]
    Missing {
        /// The one that is wanted.
        name: String,
        /// Those that are left.
        given: Vec<String>,
    },
    /// The socket is not where the listener is configured to be, and what holds for an address was checked for another one.
    #[error(
        "the socket {name:?} is at {socket}, and its listener is configured to be at {address}: say the same in both places"
    )]
    Elsewhere {
        /// The socket.
        name: String,
        /// Where it is.
        socket: SocketAddr,
        /// Where the listener is to be.
        address: SocketAddr,
    },
    /// Whoever connects to one of these would wait for ever.
    #[error("nobody takes the sockets that were handed over as {}: name each by the key `socket` of a listener", .0.join(", "))]
    Left(Vec<String>),
    /// Names tell sockets apart.
    #[error(
        "several sockets were handed over as {0:?}: give each a socket unit of its own, with its own FileDescriptorName"
    )]
    Twice(String),
    /// It is none that takes connections over TCP.
    #[error("the socket {name:?} cannot be used")]
    Unusable {
        /// The socket.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn others(names: &[String]) -> String {
    match names {
        [] => "nor any other".to_owned(),
        names => format!("but {}", names.join(", ")),
    }
}

impl Sockets {
    /// Takes those that the process was given. Another call finds none: they can be taken once.
    ///
    /// It is to be called before there are threads, since it takes the variables out of the environment.
    ///
    /// # Errors
    ///
    /// [`SocketError::Unusable`] and [`SocketError::Twice`].
    pub fn of_process() -> Result<Self, SocketError> {
        // Those without a name are called so by systemd, too.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|it| !it.is_empty());
        let mut given = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..given.len() {
            let name = names.next().unwrap_or("unknown").to_owned();
            match given.take_tcp_listener(index) {
                Ok(Some(socket)) => sockets.add(name, socket)?,
                Ok(None) => {}
                Err(source) => return Err(SocketError::Unusable { name, source }),
            }
        }
        Ok(sockets)
    }

    fn add(&mut self, name: String, socket: TcpListener) -> Result<(), SocketError> {
        match self.0.insert(name.clone(), socket) {
            None => Ok(()),
            Some(_) => Err(SocketError::Twice(name)),
        }
    }

    /// Takes the socket that a listener at `address` names, if it names one. An address with port 0 is any of its host.
    ///
    /// # Errors
    ///
    /// [`SocketError::Missing`] and [`SocketError::Elsewhere`].
    pub fn take(
        &mut self,
        name: Option<&str>,
        address: SocketAddr,
    ) -> Result<Option<TcpListener>, SocketError> {
        let Some(name) = name else {
            return Ok(None);
        };
        let name = name.to_owned();
        let Some(socket) = self.0.remove(&name) else {
            let given = self.0.keys().cloned().collect();
            return Err(SocketError::Missing { name, given });
        };
        match socket.local_addr() {
            Ok(it) if it.ip() == address.ip() && [0, it.port()].contains(&address.port()) => {
                Ok(Some(socket))
            }
            Ok(socket) => Err(SocketError::Elsewhere {
                name,
                socket,
                address,
            }),
            Err(source) => Err(SocketError::Unusable { name, source }),
        }
    }

    /// Looks whether every one was taken.
    ///
    /// # Errors
    ///
    /// [`SocketError::Left`].
    pub fn are_taken(self) -> Result<(), SocketError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(SocketError::Left(self.0.into_keys().collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(names: &[&str]) -> (Sockets, SocketAddr) {
        let mut sockets = Sockets::default();
        let mut last = None;
        for name in names {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            last = socket.local_addr().ok();
            sockets.add((*name).to_owned(), socket).unwrap();
        }
        (sockets, last.unwrap())
    }

    #[test]
    fn a_listener_takes_the_socket_that_it_names_where_it_is_configured_to_be() {
        let (mut sockets, http) = sockets(&["http"]);
        assert!(sockets.take(None, http).unwrap().is_none());
        let any_port = SocketAddr::new(http.ip(), 0);
        let taken = sockets.take(Some("http"), any_port).unwrap().unwrap();
        assert_eq!(taken.local_addr().unwrap(), http);
        sockets.are_taken().unwrap();
    }

    #[test]
    fn a_socket_that_is_missing_elsewhere_left_or_there_twice_is_told_with_its_remedy() {
        let (mut given, http) = sockets(&["http"]);
        let missing = given.take(Some("grpc"), http).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no socket named \"grpc\" was handed over, but http: name it by FileDescriptorName in its socket unit"
        );
        let other = "127.0.0.2:80".parse().unwrap();
        let elsewhere = given.take(Some("http"), other).unwrap_err();
        assert!(matches!(elsewhere, SocketError::Elsewhere { socket, .. } if socket == http));

        let (given, _) = sockets(&["a", "b"]);
        let left = given.are_taken().unwrap_err();
        assert!(
            left.to_string()
                .contains("as a, b: name each by the key `socket`")
        );

        let (mut given, _) = sockets(&["http"]);
        let twice = TcpListener::bind("127.0.0.1:0").unwrap();
        let twice = given.add("http".to_owned(), twice).unwrap_err();
        assert!(matches!(twice, SocketError::Twice(name) if name == "http"));
    }

    #[test]
    fn a_process_that_was_given_none_has_none() {
        let mut sockets = Sockets::of_process().unwrap();
        let nowhere = "127.0.0.1:80".parse().unwrap();
        let missing = sockets.take(Some("http"), nowhere).unwrap_err();
        assert!(missing.to_string().contains("nor any other"));
        sockets.are_taken().unwrap();
    }
}
