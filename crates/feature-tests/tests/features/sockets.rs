//! Programs on sockets that somebody else has opened, as systemd does: nobody is refused while they are restarted.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::conformance::PYTHON;
use crate::load::Wrk;
use crate::process::{DEADLINE, Process, fixed_port};
use crate::programs;
use crate::shell::Shell;

/// How often the dispatcher is restarted.
const RESTARTS: usize = 3;

/// Hands a socket over, which is its standard input, as systemd does: as descriptor 3, with the number of the process. It
/// becomes the program that is in its arguments.
const HAND_OVER: &str = "exec 3<&0 < /dev/null\n\
    export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=\"$NAME\"\n\
    exec \"$@\"";

/// A dispatcher whose inbound for `name` takes `socket`. Returns when it runs.
#[track_caller]
fn dispatcher_on(socket: &TcpListener, name: &str) -> Process {
    let dispatcher = programs::program("dispatcher");
    let address = socket.local_addr().expect("it is bound").to_string();
    let other = if name == "http" { "--grpc" } else { "--http" };
    let mut command = Command::new("sh");
    command
        .args(["-c", HAND_OVER, "sh"])
        .arg(dispatcher.get_program())
        .args(["--diagnostics", "127.0.0.1:0", other, "127.0.0.1:0"])
        .args([&format!("--{name}"), &address])
        .args(["--set", &format!("{name}-inbounds.0.socket={name}")])
        .env_clear()
        .env("PATH", programs::path())
        .env("NAME", name);
    let handed = socket.try_clone().expect("a descriptor is left");
    let mut process = Process::start_with(command, OwnedFd::from(handed).into());
    process.logged(&["host.started"]);
    process
}

/// Ends one process after the other, and starts the next as soon as it has.
#[track_caller]
fn restart(socket: &TcpListener, name: &str, mut process: Process) -> Process {
    for _ in 0..RESTARTS {
        serve_for_a_while();
        process.terminate();
        assert_eq!(process.exit(), Some(0));
        process = dispatcher_on(socket, name);
    }
    process
}

#[expect(clippy::disallowed_methods, reason = "nothing happens but calls")]
fn serve_for_a_while() {
    thread::sleep(Duration::from_millis(500));
}

#[test]
fn nobody_who_connects_over_http_is_refused_while_a_dispatcher_is_restarted_on_its_socket() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let inbound = socket.local_addr().expect("it is bound");
    let first = dispatcher_on(&socket, "http");
    let kept_alive = Wrk::start(inbound, Duration::from_secs(100));
    let ended = AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| calls_until(&ended, inbound)))
            .collect();
        let mut last = restart(&socket, "http", first);
        ended.store(true, Ordering::Relaxed);
        let calls = clients
            .into_iter()
            .map(|it| it.join().expect("no call fails"));
        let calls: u64 = calls.sum();
        let told = kept_alive.end();
        assert!(told.calls > 200 && told.failed == 0, "{told:?}");
        last.terminate();
        assert_eq!(last.exit(), Some(0));
        calls
    });
    assert!(calls > 100, "{calls}");
}

/// Calls by one new connection after the other: how many.
fn calls_until(ended: &AtomicBool, inbound: SocketAddr) -> u64 {
    let mut calls = 0;
    while !ended.load(Ordering::Relaxed) {
        let answer = call(inbound).unwrap_or_else(|error| panic!("call {calls}: {error}"));
        let is_good = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello");
        assert!(is_good, "call {calls}: {answer}");
        calls += 1;
    }
    calls
}

fn call(inbound: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(inbound)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nRpc-Procedure: echo\r\nConnection: close\r\n\
                   Content-Length: 5\r\n\r\nhello";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn no_call_over_grpc_fails_while_a_dispatcher_is_restarted_on_its_socket() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let inbound = socket.local_addr().expect("it is bound").to_string();
    let first = dispatcher_on(&socket, "grpc");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/sockets/calls.py");
    let mut client = Command::new(PYTHON)
        .arg(script)
        .arg(inbound)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed: `cargo xtask ci --stage tools` does so");
    let last = restart(&socket, "grpc", first);
    drop(client.stdin.take());
    let told = client.wait_with_output().expect("it ends").stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    let words: Vec<_> = told.split_whitespace().collect();
    let ["told", calls, failed] = words[..] else {
        panic!("{told}");
    };
    assert!(calls.parse::<u64>().is_ok_and(|it| it > 20), "{told}");
    assert_eq!(failed, "0", "{told}");
    drop(last);
}

#[test]
fn every_listener_of_both_hosts_takes_its_socket_from_systemds_own_activator() {
    let shell = Shell::alone();
    for (program, settings, names, path) in [
        (
            "dispatcher",
            ["http-inbounds.0", "grpc-inbounds.0", "diagnostics"],
            ["http", "grpc", "diagnostics"],
            "/readyz",
        ),
        (
            "control-plane-host",
            ["http", "grpc", "diagnostics"],
            ["http", "control", "probes"],
            "/readyz",
        ),
    ] {
        let addresses = names.map(|_| SocketAddr::from(([127, 0, 0, 1], fixed_port())));
        let mut activate = Command::new("systemd-socket-activate");
        for address in addresses {
            activate.args(["--listen", &address.to_string()]);
        }
        activate.args(["--fdname", &names.join(":")]);
        let host = programs::program(program);
        activate.arg(host.get_program());
        if program == "control-plane-host" {
            activate.args(["--no-gossip", "--set", "grpc.enabled=true"]);
        }
        for ((section, name), address) in settings.iter().zip(names).zip(addresses) {
            activate.args(["--set", &format!("{section}.address={address}")]);
            activate.args(["--set", &format!("{section}.socket={name}")]);
        }
        activate.env_clear().env("PATH", programs::path());
        let mut host = Process::start(activate);
        host.logged(&["Listening on"]);
        // The first one who connects has it started, and waits.
        let first = format!("curl --silent --fail http://{}{path}", addresses[2]);
        shell.until(&first, "\"status\":\"ok\"");
        for address in addresses {
            TcpStream::connect(address).expect("it is open");
        }
        host.logged(&["host.started"]);
        host.terminate();
        assert_eq!(host.exit(), Some(0));
    }
}
