//! Breaks the sockets of a host from outside of it, as no peer could: a socket is taken from the process (`pidfd_getfd`), and
//! what is done to it there is done to the same socket here.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::Shutdown;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// How long after one error of a socket the next is caused.
pub(crate) const BETWEEN_ERRORS: Duration = Duration::from_millis(5);

/// What `/proc/net/tcp` calls a socket that listens.
const LISTENS: &str = "0A";

/// Makes every further accept of the listener at `address` fail: its port is not opened any more (EINVAL).
pub(crate) fn break_listener(process: u32, address: SocketAddr) {
    let inode = inode(process, "tcp", address, Some(LISTENS));
    let socket = take(process, inode);
    rustix::net::shutdown(&socket, Shutdown::Read).expect("it listens");
}

/// The UDP socket of a host, bound to a peer that is not there.
///
/// Whatever is sent to that peer comes back as an error of the next receive (ECONNREFUSED), and nobody else is heard.
pub(crate) struct BrokenUdp(UdpSocket);

impl BrokenUdp {
    pub(crate) fn of(process: u32, address: SocketAddr) -> Self {
        let socket = UdpSocket::from(take(process, inode(process, "udp", address, None)));
        let nobody = free_udp_address();
        socket.connect(nobody).expect("any address will do");
        Self(socket)
    }

    /// Causes one more error, unless the last one was not noticed yet.
    pub(crate) fn fail(&self) {
        // The error may come back here: then the host has not seen it, and the next call makes another.
        let _ = self.0.send(b"nobody");
    }
}

/// A UDP address of loopback where nobody listens now.
pub(crate) fn free_udp_address() -> SocketAddr {
    let probe = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    probe.local_addr().expect("it is bound")
}

/// The number of the socket at `address` in the tables of the kernel.
fn inode(process: u32, protocol: &str, address: SocketAddr, state: Option<&str>) -> u64 {
    let table = fs::read_to_string(format!("/proc/{process}/net/{protocol}")).expect("a table");
    let SocketAddr::V4(address) = address else {
        panic!("{address} is not in the table of IPv4");
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{ip:08X}:{:04X}", address.port());
    let rows = table
        .lines()
        .map(|it| it.split_whitespace().collect::<Vec<_>>());
    let mut found = rows.filter(|it| it[1] == local && state.is_none_or(|state| it[3] == state));
    let row = found
        .next()
        .unwrap_or_else(|| panic!("{address} in\n{table}"));
    row[9].parse().expect("a number")
}

/// A descriptor of our own for a socket of `process`.
fn take(process: u32, inode: u64) -> OwnedFd {
    let link = format!("socket:[{inode}]");
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("descriptors");
    let descriptors = descriptors.map_while(Result::ok);
    let mut found = descriptors.filter(|it| {
        let target = fs::read_link(it.path());
        target.is_ok_and(|it| it.as_os_str() == link.as_str())
    });
    let entry = found.next().expect("the process has the socket");
    let number = entry
        .file_name()
        .to_string_lossy()
        .parse()
        .expect("a number");
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let process = pidfd_open(pid.expect("a process"), PidfdFlags::empty()).expect("it is alive");
    pidfd_getfd(process, number, PidfdGetfdFlags::empty()).expect("it is ours to take")
}
