//! Dispatchers behind a load balancer are restarted one after the other, while they are called all the time.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::balancer::{Balancer, FAULTS, Row};
use crate::fleet::{Fleet, Past};
use crate::load::{H2load, Protocol, Told, Wrk};
use crate::process::fixed_port;

/// As long as the balancer's two probes, one a second, and a second more.
const SETTLE: &str = "3s";

/// More than any of it takes.
const LONG: Duration = Duration::from_secs(100);

/// Two dispatchers, behind a load balancer that has seen them.
fn behind_a_balancer() -> (Fleet, Balancer) {
    let ports = [(); 3].map(|()| fixed_port());
    let settle = format!("defaults.settle={SETTLE}");
    let fleet = Fleet::dispatchers(2, ports, &[&settle]);
    // The addresses are printed when everything runs.
    assert_eq!(fleet.addresses("http-inbound:0").count(), 2);
    (fleet, Balancer::before(ports))
}

#[test]
fn contract_b27_no_call_fails_while_two_dispatchers_behind_a_load_balancer_are_restarted_one_after_the_other()
 {
    let (fleet, balancer) = behind_a_balancer();
    let folder = tempfile::tempdir().expect("a folder");
    let http = H2load::start(balancer.http(), Protocol::Http, folder.path());
    let grpc = H2load::start(balancer.grpc(), Protocol::Grpc, folder.path());
    let calm = Wrk::start(balancer.http(), Duration::from_secs(4)).told();

    let wrk = Wrk::start(balancer.http(), LONG);
    let begin = SystemTime::now();
    let by_command = rolling_restart(&fleet);
    let begin_of_signal = Instant::now();
    // As a service manager does: the host itself settles and drains.
    fleet.restart(0);
    balancer.has_seen_all();
    let by_signal = begin_of_signal.elapsed();
    let end = SystemTime::now();
    let wrk = wrk.end();
    let (http, grpc) = (http.end(), grpc.end());
    let rows = balancer.rows();

    let report = Report {
        hosts: by_command,
        by_signal,
        loads: [
            ("wrk, HTTP/1.1", calm, wrk),
            (
                "h2load, HTTP/1.1",
                http.before(begin),
                http.between(begin, end),
            ),
            ("h2load, gRPC", grpc.before(begin), grpc.between(begin, end)),
        ],
    };
    report.write();
    for (load, before, during) in report.loads {
        assert!(
            before.calls > 100 && during.calls > 1_000,
            "{load}: {before:?} {during:?}"
        );
        assert_eq!((before.failed, during.failed), (0, 0), "{load}");
        // The aim is twice; more is the machine, which others use too.
        let most = before.p99 * 2 + Duration::from_millis(100);
        assert!(during.p99 <= most, "{load}: {before:?} {during:?}");
    }
    nothing_was_tried_twice(&rows);
    let by_http = calm.calls + wrk.calls + http.all().calls;
    have_answered(fleet.end(), by_http, grpc.all().calls);
}

/// By the command line: how long each host took.
#[track_caller]
fn rolling_restart(fleet: &Fleet) -> Vec<Duration> {
    let mut roll = fleet.roll(&["--settle", SETTLE, "--pause", SETTLE]);
    let mut begin = Instant::now();
    let hosts: Vec<_> = fleet.diagnostics().collect();
    let took = hosts.iter().map(|host| {
        roll.printed(&[&format!("http://{host}: ready")]);
        let took = begin.elapsed();
        begin += took;
        took
    });
    let took = took.collect();
    assert_eq!(roll.exit(), Some(0));
    took
}

/// HAProxy would hide a failure by asking the other one.
#[track_caller]
fn nothing_was_tried_twice(rows: &[Row]) {
    assert_eq!(
        rows.len(),
        6,
        "two servers for each of two protocols, and their sums"
    );
    for row in rows {
        for name in FAULTS {
            // wrk leaves its last calls when it ends.
            let few = if name == "cli_abrt" {
                2 * Wrk::CONNECTIONS
            } else {
                0
            };
            assert!(row.number(name) <= few, "{name}: {row:?}");
        }
    }
}

/// What the dispatchers have counted is what the load generators have.
#[track_caller]
fn have_answered(hosts: Vec<Vec<Past>>, by_http: u64, by_grpc: u64) {
    let processes: Vec<_> = hosts.into_iter().flatten().collect();
    assert_eq!(
        processes.len(),
        5,
        "two were restarted once, and one of them again"
    );
    let (mut http, mut rpc) = (0, 0);
    for it in &processes {
        let metrics = &it.metrics;
        let (calls, answers) = (
            "omnirelay_rpc_requests_total",
            "omnirelay_http_requests_completed_total",
        );
        let own = metrics.sum(answers, |it| it.contains("status=\"200\""));
        assert!(own > 0, "each has been called");
        http += own;
        rpc += metrics.sum(calls, |it| it.contains("code=\"OK\""));
        assert_eq!(metrics.sum(answers, |it| !it.contains("status=\"200\"")), 0);
        assert_eq!(metrics.sum(calls, |it| !it.contains("code=\"OK\"")), 0);
        assert!(!it.log.contains("cut off"), "{}", it.log);
    }
    // wrk does not count the calls that are under way when it ends.
    let under_way = 2 * Wrk::CONNECTIONS;
    assert!(
        (by_http..=by_http + under_way).contains(&http),
        "{http} of {by_http}"
    );
    assert_eq!(rpc - http, by_grpc);
}

/// What is written down of it.
struct Report {
    hosts: Vec<Duration>,
    by_signal: Duration,
    /// Who called, and what was seen before it and meanwhile.
    loads: [(&'static str, Told, Told); 3],
}

impl Report {
    /// Prints it, and writes it to where builds leave what tests make.
    fn write(&self) {
        let mut text =
            "| load | calls before | p99 before | calls during | failed | p99 during |\n\
                        |---|---|---|---|---|---|\n"
                .to_owned();
        for (load, before, during) in &self.loads {
            let _ = writeln!(
                text,
                "| {load} | {} | {:.1?} | {} | {} | {:.1?} |",
                before.calls, before.p99, during.calls, during.failed, during.p99
            );
        }
        for took in &self.hosts {
            let _ = writeln!(
                text,
                "\na host, by the command line, from ready to ready: {took:.1?}"
            );
        }
        let _ = writeln!(text, "\na host, by a signal: {:.1?}", self.by_signal);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rolling-restart.md");
        fs::write(file, &text).expect("it is written");
        eprintln!("{text}");
    }
}

#[test]
fn calls_fail_when_a_node_is_drained_before_the_load_balancer_has_seen_that_it_goes() {
    let (fleet, balancer) = behind_a_balancer();
    let wrk = Wrk::start(balancer.http(), LONG);
    let mut roll = fleet.roll(&["--pause", SETTLE]);
    assert_eq!(roll.exit(), Some(0));
    // What the test above promises is not what happens of itself.
    assert!(wrk.end().failed > 0);
}
