//! `lifecyclectl` against the programs themselves.

use std::thread;

use crate::fleet::Fleet;
use crate::golden::check;
use crate::process::{OpenCall, Process};
use crate::shell::Shell;

/// A control-plane host that is ready, and a shell beside it.
fn plane() -> (Process, Shell) {
    let mut host = Process::control_plane(&["--node-id", "plane-1"]);
    let http = host.address("control-plane:http");
    let shell = Shell::beside(&mut host).name("localhost:9181", http);
    (host, shell)
}

/// A dispatcher that is ready, a shell beside it, and a call that stays open.
fn busy_dispatcher(arguments: &[&str]) -> (Process, Shell, OpenCall) {
    let mut host = Process::dispatcher(arguments);
    let inbound = host.address("http-inbound:0");
    let call = OpenCall::at(inbound);
    let shell = Shell::beside(&mut host).name("localhost:8080", inbound);
    (host, shell, call)
}

#[test]
fn a_control_plane_host_that_is_up_says_so_and_how_it_came_up() {
    let (_host, shell) = plane();
    check("plane-status", &shell, "status", 0);
    check("plane-status-all", &shell, "status --all", 0);
    check("plane-tree", &shell, "tree", 0);
    let dependents = "tree mesh-gossip --dependents";
    check("plane-tree-dependents", &shell, dependents, 0);
    check("plane-why", &shell, "why control-plane:http", 0);
    check("plane-why-unknown", &shell, "why mesh-gosip", 3);
    check("plane-chain", &shell, "chain", 0);
    check("plane-timeline", &shell, "timeline", 0);
    check("plane-graph", &shell, "graph", 0);
    check("plane-events", &shell, "events -n 3", 0);
    check("plane-logging", &shell, "logging", 0);
    check("plane-wait", &shell, "wait --for ready", 0);
    // Who has worked longest is not the same each time.
    let blame = shell.ctl("blame").ended(0);
    let names = ["diagnostics", "mesh-gossip", "control-plane:http"];
    names.into_iter().fold(blame, |blame, it| blame.says(it));
}

#[test]
fn a_control_plane_host_says_what_a_restart_would_do_and_does_it() {
    let (mut host, shell) = plane();
    check("plane-plan", &shell, "plan restart mesh-gossip", 0);
    let refused = "plan stop control-plane:http";
    check("plane-plan-refused", &shell, refused, 4);
    check("plane-stop-refused", &shell, "stop control-plane:http", 4);
    // Which of the states on its way is seen depends on the moment.
    let restarted = shell.ctl("restart mesh-gossip --wait --reason 'ticket 4711'");
    let restarted = restarted.ended(0).says("restart of mesh-gossip has begun");
    restarted.says("restart of mesh-gossip succeeded in ");
    check("plane-restarted", &shell, "status --all", 0);
    shell.ctl("restart nobody").ended(3).says("Not Found");
    shell.ctl("restart").ended(64);
    shell
        .ctl("restart mesh-gossip --plan-id 0123456789abcdef")
        .ended(4)
        .says("components have come or gone since");
    host.logged(&["lifecycle::audit", "what=\"restart\"", "reason=ticket 4711"]);
}

#[test]
fn contract_69_and_b23_a_control_plane_host_is_cordoned_drained_and_resumed() {
    let (_host, shell) = plane();
    check("plane-cordon", &shell, "cordon --reason disk", 0);
    check("plane-cordoned", &shell, "status", 1);
    shell.ctl("wait --for ready --timeout 200ms").ended(2);
    check("plane-uncordon", &shell, "uncordon", 0);
    shell.ctl("wait --for ready").ended(0);
    shell.ctl("drain --wait --reason disk").ended(0);
    check("plane-drained", &shell, "status", 1);
    check("plane-uncordon-refused", &shell, "uncordon", 4);
    check("plane-upgrade-status", &shell, "mesh upgrade status", 0);
    shell.ctl("resume --wait").ended(0);
    shell.ctl("wait --for ready").ended(0);
    shell.ctl("mesh upgrade drain --reason disk").ended(0);
    shell.ctl("wait --for drained").ended(0);
    shell.ctl("mesh upgrade resume").ended(0);
    shell.ctl("wait --for ready").ended(0);
    check("plane-resume-again", &shell, "resume --wait", 0);
}

#[test]
fn two_control_plane_hosts_are_listed_as_peers_of_each_other() {
    let fleet = Fleet::start();
    let shell = fleet.shell();
    // How long a message takes there and back is known a little later than the peer.
    let row = |of: &str, peer: &str| format!("lifecyclectl peers -u {of}:9181 | grep {peer}");
    shell.until(&row("plane-1", "plane-2"), "ms  worker");
    shell.until(&row("plane-2", "plane-1"), "ms  worker");
    check("peers", &shell, "peers -u plane-1:9181", 0);
    check("mesh-peers", &shell, "mesh peers list -u plane-2:9181", 0);
    // The diagnostics show them, too.
    shell.ctl("peers").ended(0).says("plane-2 ");
}

#[test]
fn a_dispatcher_that_is_up_says_so() {
    let mut host = Process::dispatcher(&[]);
    host.address("http-inbound:0");
    let shell = Shell::beside(&mut host);
    check("dispatcher-status", &shell, "status --all", 0);
    check("dispatcher-tree", &shell, "tree", 0);
    check("dispatcher-why", &shell, "why http-inbound:0", 0);
    check("dispatcher-plan", &shell, "plan restart http-inbound:0", 0);
    check("peers-elsewhere", &shell, "peers", 3);
    let chain = shell.ctl("chain").ended(0).says("critical path: ");
    chain.says("diagnostics ");
}

#[test]
fn contract_b22_a_drain_says_which_listener_has_an_open_stream_and_ends_with_it() {
    let (_host, shell, call) = busy_dispatcher(&[]);
    let drained = thread::scope(|scope| {
        let waiting = scope.spawn(|| shell.ctl("drain --wait --reason disk"));
        shell.until("lifecyclectl mesh upgrade status", "drained   0");
        check("dispatcher-draining", &shell, "status", 1);
        check("dispatcher-upgrade", &shell, "mesh upgrade status", 0);
        check("dispatcher-draining-why", &shell, "why http-inbound:0", 0);
        check("dispatcher-drain-again", &shell, "drain", 4);
        check("dispatcher-resume-refused", &shell, "resume", 4);
        drop(call);
        waiting.join().expect("it ends")
    });
    let drained = drained.ended(0);
    crate::golden::compare("dispatcher-drain", "drain --wait --reason disk", &drained);
    shell.ctl("resume --wait").ended(0);
    shell.ctl("wait --for ready").ended(0);
}

#[test]
fn contract_b22_a_drain_that_a_stream_holds_up_is_cancelled_fails_at_its_deadline_or_is_forced() {
    let (_host, shell, call) = busy_dispatcher(&[]);
    let call_it =
        "curl --silent --write-out %{http_code} -H 'Rpc-Procedure: echo' -d hello localhost:8080/";
    shell.ctl("drain").ended(0).says("drain has begun");
    shell.until(call_it, "503");
    shell.ctl("cancel --wait").ended(0);
    shell.until(call_it, "hello200");
    let late = "drain --deadline 200ms --wait";
    check("dispatcher-drain-late", &shell, late, 1);
    check("dispatcher-drain-failed", &shell, "status", 1);
    shell.ctl("resume --wait").ended(0);
    let forced = "drain --deadline 20s --force-after 200ms --wait";
    check("dispatcher-drain-forced", &shell, forced, 0);
    check("dispatcher-forced", &shell, "mesh upgrade status", 0);
    shell.ctl("status").ended(1).says("node:drained");
    shell.until(call_it, "503");
    drop(call);
}

/// An order, its exit code, and the state of the node afterwards, with a star when that is cordoned.
type Order = (&'static str, i32, &'static str);

/// What each order comes to in a state of the node, and before that, what brings it into the state.
type Orders = (&'static str, &'static [(&'static str, i32)], [Order; 6]);

const ORDERS: [Orders; 5] = [
    (
        "active",
        &[],
        [
            ("cordon", 0, "active*"),
            ("uncordon", 0, "active"),
            ("drain", 0, "draining*"),
            ("resume", 0, "active"),
            ("cancel", 4, "active"),
            ("force", 4, "active"),
        ],
    ),
    (
        "cordoned",
        &[("cordon", 0)],
        [
            ("cordon", 0, "active*"),
            ("uncordon", 0, "active"),
            ("drain", 0, "draining*"),
            ("resume", 0, "active"),
            ("cancel", 4, "active*"),
            ("force", 4, "active*"),
        ],
    ),
    (
        "draining",
        &[("drain", 0)],
        [
            ("cordon", 0, "draining*"),
            ("uncordon", 4, "draining*"),
            ("drain", 4, "draining*"),
            ("resume", 4, "draining*"),
            ("cancel --wait", 0, "active"),
            ("force --wait", 0, "drained*"),
        ],
    ),
    (
        "drained",
        &[("drain --force-after 1ms --deadline 20s --wait", 0)],
        [
            ("cordon", 0, "drained*"),
            ("uncordon", 4, "drained*"),
            ("drain", 0, "drained*"),
            ("resume --wait", 0, "active"),
            ("cancel", 4, "drained*"),
            ("force", 0, "drained*"),
        ],
    ),
    (
        "failed",
        &[("drain --deadline 1ms --wait", 1)],
        [
            ("cordon", 0, "failed*"),
            ("uncordon", 4, "failed*"),
            ("drain", 0, "draining*"),
            ("resume --wait", 0, "active"),
            ("cancel", 4, "failed*"),
            ("force --wait", 0, "drained*"),
        ],
    ),
];

#[test]
fn contract_b23_each_order_to_a_node_is_obeyed_or_refused_in_each_of_its_states() {
    let (_host, shell, call) = busy_dispatcher(&[]);
    for (state, before, orders) in ORDERS {
        for (order, exit, after) in orders {
            for (order, exit) in before {
                shell.ctl(order).ended(*exit);
            }
            let told = shell.ctl(order);
            assert_eq!(
                told.exit,
                Some(exit),
                "{order} while {state}: {}",
                told.printed
            );
            let now = shell.ctl("mesh upgrade status").ended(0).printed;
            let now = now.lines().find_map(|it| it.strip_prefix("state "));
            let now = now.map(|it| it.trim().replace(", cordoned", "*"));
            assert_eq!(now.as_deref(), Some(after), "{order} while {state}");
            if after == "draining*" {
                shell.ctl("cancel --wait").ended(0);
            }
            shell.ctl("resume --wait").ended(0);
        }
    }
    drop(call);
}

#[test]
fn contract_b27_a_rolling_restart_of_two_control_plane_hosts_replaces_one_process_after_the_other()
{
    let fleet = Fleet::start();
    let shell = fleet.shell();
    shell.until("lifecyclectl status", "ready       yes");
    let before = fleet.ids();
    let words = "rolling-restart plane-1:9180 plane-2:9180 --restart-command 'ssh {host} systemctl restart control-plane-host'";
    check("rolling", &shell, words, 0);
    let after = fleet.ids();
    assert!(
        before.iter().all(|it| !after.contains(it)),
        "{before:?} {after:?}"
    );
    let in_place = "rolling-restart plane-1:9180 plane-2:9180";
    check("rolling-in-place", &shell, in_place, 0);
    assert_eq!(fleet.ids(), after);
}

#[test]
fn a_rolling_restart_that_forces_goes_past_a_call_that_does_not_end() {
    let (_host, shell, call) = busy_dispatcher(&[]);
    let words = "rolling-restart localhost:9180 --force-after 200ms --drain-deadline 20s";
    let restarted = shell.ctl(words).ended(0).says("blocked by http-inbound:0");
    restarted.says("1 host restarted");
    drop(call);
}

#[test]
fn a_host_that_is_not_there_or_asks_for_a_token_is_told_apart_by_the_exit_code() {
    let (mut host, shell) = plane();
    shell.ctl("status --bogus").ended(64);
    host.terminate();
    assert_eq!(host.exit(), Some(0));
    check("plane-gone", &shell, "status", 1);
    check("plane-stopped", &shell, "wait --for stopped", 0);
    let tokens = shell.folder().join("tokens");
    let made = shell.run("umask 077; echo alice mesh.read 0123456789abcdef > tokens");
    made.ended(0);
    let tokens = format!("diagnostics.tokens={}", tokens.display());
    let mut host = Process::control_plane(&["--set", &tokens]);
    let shell = Shell::beside(&mut host);
    check("plane-without-token", &shell, "status", 4);
    shell.until(
        "LIFECYCLECTL_TOKEN=0123456789abcdef lifecyclectl status",
        "yes",
    );
    let shell = shell.variable("LIFECYCLECTL_TOKEN", "0123456789abcdef");
    check("plane-with-reader", &shell, "cordon", 4);
}
