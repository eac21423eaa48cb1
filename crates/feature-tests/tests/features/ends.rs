//! How the programs end: by which signals, at which moments, with which exit codes; and that nothing is left of them afterwards.
//!
//! What a stop says while it lasts is told in [`hanging`](crate::hanging).

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;

use tempfile::TempDir;

use crate::jobs;
use crate::process::{OpenCall, Process, fixed_port};
use crate::programs;

use Host::{Dispatcher, Plane, Shop};
use Step::{Call, Ctl, Logs, Signal};

/// A program under test, with words beside those that give it ports.
#[derive(Clone, Copy)]
enum Host {
    /// The control-plane host, which has its leases in `leases.db`.
    Plane(&'static [&'static str]),
    Dispatcher(&'static [&'static str]),
    /// The host that makes trouble.
    Shop(&'static [&'static str]),
}

/// What happens to it, one after the other.
#[derive(Clone, Copy)]
enum Step {
    /// It has logged a line with all of these parts.
    Logs(&'static [&'static str]),
    /// It is sent this signal.
    Signal(&'static str),
    /// An operator runs `lifecyclectl` with these words.
    Ctl(&'static str),
    /// A call is made that does not end.
    Call,
}

const STARTED: Step = Logs(&["host.started"]);
const STOPPING: Step = Logs(&["host.stopping"]);
const DRAINING: Step = Logs(&["component.draining", "http-inbound:0"]);
const FORCED: Step = Logs(&["asked again: stopping by force"]);
const TERM: Step = Signal("TERM");
const INT: Step = Signal("INT");

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Code(i32),
    /// Killed by the signal of this number.
    Killed(i32),
}

use End::{Code, Killed};

macro_rules! ends {
    ($($name:ident: $host:expr, $steps:expr => $end:expr;)*) => {
        $(
            #[test]
            fn $name() {
                play($host, &$steps, $end);
            }
        )*
    };
}

ends! {
    a_control_plane_host_ends_well_by_sigterm: Plane(&[]), [STARTED, TERM] => Code(0);
    a_control_plane_host_ends_well_by_sigint: Plane(&[]), [STARTED, INT] => Code(0);
    a_dispatcher_ends_well_by_sigterm: Dispatcher(&[]), [STARTED, TERM] => Code(0);
    a_dispatcher_ends_well_by_sigint: Dispatcher(&[]), [STARTED, INT] => Code(0);
    nothing_is_made_of_sighup_which_kills: Dispatcher(&[]), [STARTED, Signal("HUP")] => Killed(1);
    a_start_that_takes_long_is_given_up_by_sigterm: Shop(&["ledger=slow"]), [LEDGER_STARTS, TERM] => Code(0);
    a_start_that_does_not_end_is_aborted_by_sigterm: Shop(&["ledger=stuck"]), [LEDGER_STARTS, TERM] => Code(71);
    a_start_that_does_not_end_is_aborted_at_once_by_a_second_sigterm: Shop(&["ledger=stuck"]), [LEDGER_STARTS, TERM, STOPPING, TERM] => Code(71);
    a_start_that_backs_off_is_given_up_by_sigterm: Dispatcher(&["--grpc", "192.0.2.1:9090", "--insecure", TWO_ATTEMPTS, A_MINUTE_BETWEEN]), [Logs(&["component.retry_scheduled"]), TERM] => Code(0);
    what_a_drain_waits_for_is_cut_off_when_its_time_is_over: Dispatcher(&[SHORT_DRAIN]), [STARTED, Call, TERM] => Code(0);
    what_a_drain_waits_for_is_cut_off_by_a_second_sigterm: Dispatcher(&[]), [STARTED, Call, TERM, DRAINING, TERM] => Code(0);
    what_a_drain_waits_for_is_cut_off_by_a_sigint_after_the_sigterm: Dispatcher(&[]), [STARTED, Call, TERM, DRAINING, INT] => Code(0);
    a_sigterm_during_a_drain_of_an_operator_joins_it: Dispatcher(&[SHORT_DRAIN]), [STARTED, Call, Ctl("drain"), DRAINING, TERM] => Code(0);
    a_sigterm_after_a_drain_of_an_operator_only_stops: Dispatcher(&[]), [STARTED, Ctl("drain --wait"), TERM] => Code(0);
    a_cordoned_node_ends_well: Plane(&[]), [STARTED, Ctl("cordon"), TERM] => Code(0);
    a_third_sigterm_ends_at_once: Shop(&["exporter=blocks"]), [STARTED, TERM, STOPPING, TERM, FORCED, TERM] => Code(128 + 15);
    a_third_signal_ends_at_once_with_its_own_number: Shop(&["exporter=blocks"]), [STARTED, TERM, STOPPING, TERM, FORCED, INT] => Code(128 + 2);
    a_component_that_refuses_to_stop_is_an_unclean_end: Shop(&["ledger=refuses"]), [STARTED, TERM] => Code(71);
    a_degradable_component_that_refuses_to_stop_is_one_too: Shop(&["feed=refuses"]), [STARTED, TERM] => Code(71);
    an_essential_component_that_is_lost_for_good_ends_the_host: Shop(&["ledger=dies"]), [STARTED] => Code(1);
    a_sigterm_while_what_was_lost_backs_off_ends_well: Shop(&["feed=dies"]), [Logs(&["component.faulted", "feed"]), TERM] => Code(0);
    a_port_that_cannot_be_had_is_a_failed_start: Dispatcher(&["--grpc", "192.0.2.1:9090", "--insecure"]), [] => Code(70);
    an_address_for_all_without_credentials_is_a_fault_of_the_configuration: Plane(&["--diagnostics", "0.0.0.0:0"]), [] => Code(78);
    a_socket_that_nobody_has_handed_over_is_a_fault_of_the_configuration: Dispatcher(&["--set=http-inbounds.0.socket=http"]), [] => Code(78);
    a_flag_that_nobody_knows_is_a_fault_of_the_command_line: Dispatcher(&["--colour"]), [] => Code(64);
}

const LEDGER_STARTS: Step = Logs(&["component.starting", "ledger"]);
const SHORT_DRAIN: &str = "--set=defaults.drain-timeout=300ms";
const TWO_ATTEMPTS: &str = "--set=grpc-inbounds.0.start.max-attempts=2";
const A_MINUTE_BETWEEN: &str = "--set=grpc-inbounds.0.start.backoff={ fixed = \"60s\" }";

/// A process with everything that it might leave behind.
struct Stage {
    host: Host,
    /// It starts here, and has nowhere else to put what lasts for a moment.
    folder: TempDir,
    /// TCP or UDP, each other than the rest.
    addresses: Vec<SocketAddr>,
}

impl Stage {
    fn of(host: Host) -> Self {
        let addresses = (0..4).map(|_| SocketAddr::from(([127, 0, 0, 1], fixed_port())));
        Self {
            host,
            folder: tempfile::tempdir().expect("a folder"),
            addresses: addresses.collect(),
        }
    }

    fn start(&self) -> Process {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let (mut command, flags, words) = match self.host {
            Plane(words) => {
                let mut command = programs::program("control-plane-host");
                command.args(["--set", "leadership.store.kind=sqlite"]);
                command.args(["--set", "leadership.store.path=leases.db"]);
                let flags = &["--diagnostics", "--http", "--gossip"][..];
                (command, flags, words)
            }
            Dispatcher(words) => {
                let flags = &["--diagnostics", "--http", "--grpc"][..];
                (programs::program("dispatcher"), flags, words)
            }
            Shop(words) => (programs::trouble_host(), &[][..], words),
        };
        if flags.is_empty() {
            command.arg(&addresses[0]);
        }
        let free = flags.iter().zip(&addresses);
        for (flag, address) in free.filter(|(flag, _)| !words.contains(flag)) {
            command.args([flag, &address.as_str()]);
        }
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .process_group(0);
        Process::start(command)
    }

    fn run(&self, words: &str) {
        let address = self.addresses[0].to_string();
        let mut ctl = programs::program("lifecyclectl");
        ctl.args(["--endpoint", &address]).args(words.split(' '));
        let ran = ctl.output().expect("it can be run");
        assert!(ran.status.success(), "{words}: {ran:?}");
    }

    /// Nothing is left of a process but `files`.
    #[track_caller]
    fn is_tidy(&self, process: &Process, files: &[&str]) {
        assert!(!jobs::is_there(process.id()), "a process goes on");
        for address in &self.addresses {
            TcpListener::bind(address).expect("the port is free again");
            UdpSocket::bind(address).expect("the port is free again");
        }
        assert_eq!(names_in(self.folder.path()), files);
    }

    /// What lasts: the leases are there for whoever comes next.
    fn lasting(&self, end: End) -> &'static [&'static str] {
        match (self.host, end) {
            (Plane(_), Code(0 | 1 | 71)) => &["leases.db"],
            (Plane(_) | Dispatcher(_) | Shop(_), _) => &[],
        }
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("it is there").flatten();
    let mut names: Vec<_> = files
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn play(host: Host, steps: &[Step], end: End) {
    let stage = Stage::of(host);
    let mut process = stage.start();
    let mut calls = Vec::new();
    for step in steps {
        match step {
            Logs(parts) => drop(process.logged(parts)),
            Signal(name) => process.signal(name),
            Ctl(words) => stage.run(words),
            Call => calls.push(OpenCall::at(process.address("http-inbound:0"))),
        }
    }
    let status = process.status();
    let ended = status.code().map(Code).or(status.signal().map(Killed));
    assert_eq!(ended, Some(end), "{}", process.whole_log());
    stage.is_tidy(&process, stage.lasting(end));
}

#[test]
fn a_control_plane_host_that_was_killed_starts_at_once_on_the_same_ports_with_the_same_leases() {
    let stage = Stage::of(Plane(&[]));
    let mut killed = stage.start();
    killed.logged(&["host.started"]);
    killed.signal("KILL");
    assert_eq!(killed.status().signal(), Some(9));
    // It may have been writing down its lease, which the next one finds unfinished, and undoes.
    let left = names_in(stage.folder.path());
    assert!(
        left.iter().all(|it| it.starts_with("leases.db")),
        "{left:?}"
    );
    ends_well(&stage, &["leases.db"]);
}

#[test]
fn a_dispatcher_that_was_killed_during_a_call_starts_at_once_on_the_same_ports() {
    let stage = Stage::of(Dispatcher(&[]));
    let mut killed = stage.start();
    let call = OpenCall::at(killed.address("http-inbound:0"));
    killed.signal("KILL");
    assert_eq!(killed.status().signal(), Some(9));
    ends_well(&stage, &[]);
    drop(call);
}

#[track_caller]
fn ends_well(stage: &Stage, files: &[&str]) {
    let mut next = stage.start();
    next.logged(&["host.started"]);
    next.terminate();
    assert_eq!(next.exit(), Some(0));
    stage.is_tidy(&next, files);
}
