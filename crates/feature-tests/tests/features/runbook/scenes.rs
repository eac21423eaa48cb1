//! The state that a host is in when an operator opens a section, and what happens between the commands.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use crate::fleet::Fleet;
use crate::page::Play;
use crate::process::{OpenCall, Process, fixed_port};
use crate::shell::Shell;

/// A control-plane host that is ready, and a shell beside it.
fn plane() -> (Process, Shell) {
    let mut host = Process::control_plane(&["--node-id", "plane-1"]);
    let http = host.address("control-plane:http");
    let shell = Shell::beside(&mut host).name("localhost:9181", http);
    (host, shell)
}

/// A control-plane host whose port for gossip somebody else has taken, as long as the socket is there.
fn plane_without_a_port(backoff: &str) -> (Process, Shell, UdpSocket) {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let start = "components.mesh-gossip.start";
    let mut host = Process::control_plane(&[
        "--gossip",
        &address.to_string(),
        "--set",
        &format!("{start}.max-attempts=100"),
        "--set",
        &format!("{start}.backoff={{ fixed = \"{backoff}\" }}"),
    ]);
    host.logged(&["mesh-gossip", "component.start_failed"]);
    let shell = Shell::beside(&mut host).name("127.0.0.1:17421", address);
    (host, shell, taken)
}

pub(super) fn a_host_that_is_not_ready_says_why(play: &mut Play) {
    let (_host, shell, taken) = plane_without_a_port("5s");
    play.several(2, &shell);
    drop(taken);
    play.next(&shell);
}

pub(super) fn a_component_that_backs_off_says_until_when(play: &mut Play) {
    let (_host, shell, _taken) = plane_without_a_port("1m");
    play.several(2, &shell);
}

pub(super) fn what_waits_says_for_whom(play: &mut Play) {
    let (_host, shell, _taken) = plane_without_a_port("1m");
    play.several(3, &shell);
}

pub(super) fn what_is_lost_again_and_again_is_shown_and_started_anew(play: &mut Play) {
    let mut host = Process::troubled(&["feed=dies"]);
    host.logged(&["component.faulted", "\"feed\"", "generation=3"]);
    let shell = Shell::beside(&mut host);
    shell.until("lifecyclectl status", "feed");
    play.several(5, &shell);
    shell.ctl("status").ended(0).says("5 running");
}

pub(super) fn a_drain_that_does_not_end_is_given_up_or_forced(play: &mut Play) {
    let mut host = Process::dispatcher(&[]);
    let call = OpenCall::at(host.address("http-inbound:0"));
    let shell = Shell::beside(&mut host);
    shell.ctl("drain --reason 'upgrade to 2.1'").ended(0);
    shell.until("lifecyclectl mesh upgrade status", "drained   0");
    // What it looks like; it is taken back; another one is forced, and taken back too.
    play.several(4, &shell);
    shell.until("lifecyclectl mesh upgrade status", "drained   0");
    play.several(3, &shell);
    drop(call);
}

pub(super) fn a_stop_that_hangs_says_where(play: &mut Play) {
    let mut host = Process::troubled(&["exporter=hangs"]);
    let mut shell = Shell::beside(&mut host);
    // Whatever it is told, it sends the signal.
    shell.stand_in("systemctl", "kill -TERM \"$MAINPID\"");
    shell.ctl("wait --for ready").ended(0);
    play.next(&shell);
    shell.until("lifecyclectl status", "page 7/9");
    play.several(2, &shell);
    host.logged(&["orchestrator.awaiting"]);
    play.several(2, &shell);
    assert_eq!(host.exit(), Some(71));
    play.next(&shell);
}

pub(super) fn a_node_is_taken_out_and_comes_back(play: &mut Play) {
    let (_host, shell) = plane();
    play.several(5, &shell);
}

pub(super) fn one_component_is_restarted_and_followed(play: &mut Play) {
    let (_host, shell) = plane();
    play.several(3, &shell);
}

pub(super) fn hosts_are_restarted_one_after_the_other(play: &mut Play) {
    let fleet = Fleet::start();
    let shell = fleet.shell();
    let before = fleet.ids();
    play.next(&shell);
    assert_eq!(fleet.ids(), before, "a dry run restarts nobody");
    play.next(&shell);
    assert!(fleet.ids().iter().all(|it| !before.contains(it)));
}

pub(super) fn a_rollout_that_was_aborted_goes_on(play: &mut Play) {
    let fleet = Fleet::start();
    let shell = fleet.shell();
    fleet.break_second(true);
    play.several(2, &shell);
    fleet.break_second(false);
    play.several(2, &shell);
}

pub(super) fn peers_that_are_missing_are_looked_for(play: &mut Play) {
    let gossip = ["127.0.0.1", "127.0.0.2"].map(|it| format!("{it}:{}", fixed_port()));
    let (first, second) = (&gossip[0], &gossip[1]);
    let fast = ["--set", "gossip.gossip-interval=100ms"];
    let own = ["--gossip", first, "--seed", second, "--node-id", "plane-1"];
    let mut host = Process::control_plane(&[&fast[..], &own].concat());
    let other = ["--gossip", second, "--seed", first, "--node-id", "plane-2"];
    let misled = [&fast[..], &other, &["--cluster-id", "staging"]].concat();
    let mut stranger = Process::control_plane(&misled);
    host.logged(&["a node of another cluster"]);
    let http = host.address("control-plane:http");
    let shell = Shell::beside(&mut host)
        .name("plane-1:9181", http)
        .name("plane-1:17421", first.parse().expect("an address"))
        .name("plane-2:17421", second.parse().expect("an address"));
    play.several(3, &shell);
    stranger.terminate();
    assert_eq!(stranger.exit(), Some(0));
    let _known = Process::control_plane(&[&fast[..], &other].concat());
    // How long a message takes there and back is known a little later than the peer.
    let row = "lifecyclectl peers -u plane-1:9181 | grep plane-2";
    shell.until(row, "ms  worker");
    play.next(&shell);
}

pub(super) fn certificates_that_cannot_be_read_are_found(play: &mut Play) {
    let folder = tempfile::tempdir().expect("a folder");
    issue(folder.path());
    let place = folder.path().display().to_string();
    let (mut host, inbound) = dispatcher_over_tls(folder.path());
    let shell = Shell::beside(&mut host)
        .name("localhost:8443", inbound)
        .stands_for("/etc/dispatcher", &place);
    play.next(&shell);
    fs::write(folder.path().join("certificate.pem"), "half a file").expect("it is written");
    host.logged(&["certificates could not be read again"]);
    shell.until("lifecyclectl status", "degraded");
    play.several(2, &shell);
    // The old one holds until this is in order.
    issue(folder.path());
    host.logged(&["the certificates are in order again"]);
    shell.until("lifecyclectl status", "yes\n");
    play.next(&shell);
}

/// Writes a certificate that is its own authority, and its key.
fn issue(folder: &Path) {
    let issued =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let write =
        |name: &str, text: String| fs::write(folder.join(name), text).expect("it is written");
    write("key.pem", issued.signing_key.serialize_pem());
    write("certificate.pem", issued.cert.pem());
}

fn dispatcher_over_tls(folder: &Path) -> (Process, std::net::SocketAddr) {
    let place = folder.display();
    let file = folder.join("dispatcher.toml");
    let text = format!(
        "service = 'echo'\necho = true\n\
         [http-inbounds.0]\naddress = '127.0.0.1:0'\n\
         [http-inbounds.0.tls]\ncertificate = '{place}/certificate.pem'\nkey = '{place}/key.pem'\n\
         reload-interval = '100ms'\n"
    );
    fs::write(&file, text).expect("it is written");
    let file = file.display().to_string();
    let mut command = crate::programs::program("dispatcher");
    command.args(["--config", &file, "--diagnostics", "127.0.0.1:0"]);
    let mut host = Process::start(command);
    let inbound = host.address("http-inbound:0");
    (host, inbound)
}

pub(super) fn what_took_so_long_is_told(play: &mut Play) {
    let (_host, shell) = plane();
    play.several(3, &shell);
}

pub(super) fn metrics_are_read(play: &mut Play) {
    let (_host, shell) = plane();
    play.several(2, &shell);
}

pub(super) fn the_log_says_more_for_a_while(play: &mut Play) {
    let (_host, shell) = plane();
    play.several(3, &shell);
}

pub(super) fn what_was_done_and_by_whom_is_told(play: &mut Play) {
    let (_host, shell) = plane();
    shell.ctl("cordon --reason 'ticket 4711'").ended(0);
    play.several(3, &shell);
}

pub(super) fn a_token_is_made_and_used(play: &mut Play) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display().to_string();
    let local = Shell::alone().stands_for("/etc/plane", &place);
    play.next(&local);
    let setting = format!("diagnostics.tokens={place}/tokens");
    let mut host = Process::control_plane(&["--set", &setting]);
    host.address("control-plane:http");
    let shell = Shell::beside(&mut host).stands_for("/etc/plane", &place);
    play.several(3, &shell);
}
