//! Spans to a collector, from the program as operators run it.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use lifecycle_adapters::tls::{Pem, ServerTls};
use tempfile::{NamedTempFile, TempDir};

use crate::certificates::{Authority, write};
use crate::collector::{Answer, Collector, Got};
use crate::support::{ANYWHERE, DEADLINE, Process, command, get, get_until, post};

/// How long the end of a host may take here beside its last spans, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// OTLP's number for spans that are no call between processes.
const INTERNAL: i32 = 1;

const RESTART: &str = "/control/lifecycle/components/mesh-gossip/restart";

fn to(endpoint: &str) -> Vec<String> {
    let mut arguments: Vec<_> = ANYWHERE.iter().map(|it| (*it).to_owned()).collect();
    arguments.extend(["--set".to_owned(), format!("traces.endpoint={endpoint}")]);
    arguments
}

fn start(arguments: &[String], further: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut all: Vec<_> = arguments.iter().map(String::as_str).collect();
    all.extend(further);
    Process::start(&all, variables)
}

/// Stops a host that runs; how long that took.
#[track_caller]
fn stop(host: &mut Process) -> Duration {
    let begin = Instant::now();
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    begin.elapsed()
}

#[track_caller]
fn only<'a>(spans: &'a [Got], name: &str) -> &'a Got {
    let named: Vec<_> = spans.iter().filter(|it| it.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {spans:#?}");
    named[0]
}

#[test]
fn a_whole_run_is_exported_with_the_spans_of_the_stop_itself() {
    let collector = Collector::begin(Answer::Taken);
    let further = [
        "--node-id",
        "first",
        "--set",
        "traces.attributes=service.namespace=shop",
    ];
    let mut host = start(&to(&collector.endpoint()), &further, &[]);
    host.address("control-plane:http");
    stop(&mut host);

    let spans = collector.spans();
    let (begun, stopped) = (only(&spans, "start"), only(&spans, "stop"));
    for operation in [begun, stopped] {
        assert_eq!(operation.parent, "", "an operation is a trace of its own");
        assert_eq!(operation.kind, INTERNAL);
        assert_eq!(operation.attribute("lifecycle.outcome"), "succeeded");
        assert_eq!(operation.error, None);
    }
    assert_ne!(begun.trace, stopped.trace);
    for component in ["diagnostics", "mesh-gossip", "control-plane:http"] {
        for (operation, phase) in [(begun, "start"), (stopped, "stop")] {
            let attempt = only(&spans, &format!("{phase} {component}"));
            assert_eq!(attempt.parent, operation.id, "{attempt:#?}");
            assert_eq!(attempt.trace, operation.trace);
            assert_eq!(attempt.attribute("lifecycle.component"), component);
            assert_eq!(attempt.attribute("lifecycle.phase"), phase);
            assert_eq!(attempt.attribute("lifecycle.attempt"), "1");
            assert_eq!(attempt.attribute("lifecycle.outcome"), "succeeded");
            assert!(operation.began <= attempt.began && attempt.began <= attempt.ended);
        }
    }
    let drained = only(&spans, "drain");
    let drain = only(&spans, "drain control-plane:http");
    assert_eq!(drain.parent, drained.id);
    let names = ["run", "task"];
    assert!(
        !spans.iter().any(|it| names.contains(&&*it.name)),
        "{spans:#?}"
    );
    for span in &spans {
        assert_eq!(span.resource["service.name"], "control-plane-host");
        assert_eq!(span.resource["service.namespace"], "shop");
        assert_eq!(span.resource["service.instance.id"], "first");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn spans_go_to_the_collector_whatever_the_log_leaves_out() {
    let collector = Collector::begin(Answer::Taken);
    let further = ["--set", "log.filter=error"];
    let mut host = start(&to(&collector.endpoint()), &further, &[]);
    host.address("control-plane:http");
    stop(&mut host);
    only(&collector.spans(), "stop diagnostics");
    assert_eq!(host.whole_log(), "");
}

#[test]
fn a_start_that_fails_is_exported_with_what_went_wrong_and_ends_as_it_would_without() {
    let collector = Collector::begin(Answer::Taken);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let endpoint = format!("traces.endpoint={}", collector.endpoint());
    let (free, set) = ("127.0.0.1:0", ["--set", &endpoint]);
    let flags = ["--diagnostics", free, "--gossip", free, "--http", &address];
    let mut host = Process::start(&[&flags[..], &set].concat(), &[]);
    assert_eq!(host.exit().code(), Some(70));
    let spans = collector.spans();
    let attempts = spans
        .iter()
        .filter(|it| it.name == "start control-plane:http");
    let attempts: Vec<_> = attempts.collect();
    assert!(!attempts.is_empty(), "{spans:#?}");
    for (place, attempt) in attempts.iter().enumerate() {
        assert_eq!(
            attempt.attribute("lifecycle.attempt"),
            (place + 1).to_string()
        );
        let error = attempt.error.as_deref().expect("it failed");
        assert!(error.contains("use"), "{error}");
    }
    let whole = only(&spans, "start");
    assert_eq!(whole.attribute("lifecycle.outcome"), "rollback");
    assert!(whole.error.is_some());
    only(&spans, "stop");
}

#[test]
fn a_collector_that_is_not_there_delays_neither_start_nor_stop_and_what_is_lost_is_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let further = ["--set", "traces.queue=4", "--set", "traces.delay=10ms"];
    let mut host = start(&to(&format!("http://{address}")), &further, &[]);
    let diagnostics = host.address("diagnostics");
    host.logged_all(&["spans are not exported", "Unavailable"]);
    let begin = Instant::now();
    while lost(&get(diagnostics, "/metrics").body, "queue-full") == 0 {
        assert!(begin.elapsed() < DEADLINE, "there is room without end");
        // Refused while one is under way: all that counts is that there are more and more spans.
        post(diagnostics, RESTART, "{}");
    }
    assert_eq!(lost(&get(diagnostics, "/metrics").body, "sent"), 0);
    assert!(stop(&mut host) < SLACK);
    let log = host.whole_log();
    // Once as it begins, and once for what is given up in the end.
    let told = log.matches("spans are not exported").count();
    assert!((1..=3).contains(&told), "{log}");
}

/// What became of spans, by the metrics.
#[track_caller]
fn lost(metrics: &str, outcome: &str) -> u64 {
    let begin = format!("traces_spans_total{{outcome=\"{outcome}\"}} ");
    let mut lines = metrics.lines();
    let line = lines.find_map(|it| it.strip_prefix(&*begin));
    line.map_or(0, |it| it.parse().expect("a number"))
}

#[test]
fn a_collector_that_hangs_holds_up_the_end_for_no_longer_than_it_may() {
    let collector = Collector::begin(Answer::Never);
    let further = [
        "--set",
        "traces.delay=10ms",
        "--set",
        "traces.flush-timeout=300ms",
        "--set",
        "traces.timeout=1h",
    ];
    let mut host = start(&to(&collector.endpoint()), &further, &[]);
    host.address("control-plane:http");
    collector.wait_for_requests(1);
    assert!(stop(&mut host) < SLACK);
    let log = host.whole_log();
    let last = log.lines().last().expect("a log");
    assert!(last.contains("spans are not exported"), "{log}");
    assert!(last.contains("lost="), "{log}");
}

#[test]
fn a_collector_that_dies_and_comes_back_gets_what_waited_for_it() {
    let first = Collector::begin(Answer::Taken);
    let address = first.address;
    let further = ["--set", "traces.delay=10ms"];
    let mut host = start(&to(&first.endpoint()), &further, &[]);
    let diagnostics = host.address("diagnostics");
    first.wait_for(|it| it.iter().any(|it| it.name == "start"));
    drop(first);
    let answer = post(diagnostics, RESTART, "{}");
    assert!((200..300).contains(&answer.status), "{answer:?}");
    host.logged("spans are not exported");
    let second = Collector::at(address);
    let spans = second.wait_for(|it| it.iter().any(|it| it.name == "restart mesh-gossip"));
    host.logged("spans are exported again");
    let restart = only(&spans, "restart mesh-gossip");
    assert_eq!(restart.parent, "");
    for attempt in ["stop mesh-gossip", "start mesh-gossip"] {
        assert_eq!(only(&spans, attempt).parent, restart.id, "{spans:#?}");
    }
    stop(&mut host);
}

#[test]
fn what_the_collector_refuses_is_counted_and_not_sent_again() {
    let collector = Collector::begin(Answer::Refused(tonic::Code::Unauthenticated));
    let further = ["--set", "traces.delay=10ms"];
    let mut host = start(&to(&collector.endpoint()), &further, &[]);
    let diagnostics = host.address("diagnostics");
    host.logged_all(&["spans are not exported", "Unauthenticated: go away"]);
    get_until(diagnostics, "/metrics", |it| lost(&it.body, "refused") > 0);
    collector.answer(Answer::TakenBut(1));
    stop(&mut host);
    let spans = collector.spans();
    assert!(spans.iter().any(|it| it.name == "stop"), "{spans:#?}");
}

#[test]
fn spans_travel_over_tls_with_a_secret_that_is_shown_to_the_collector_alone() {
    const SECRET: &str = "k4fWqYt9";
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("collectors");
    let (certificate, key) = authority.server().write(folder.path());
    let ca = write(folder.path(), "ca.pem", &authority.pem);
    let tls = ServerTls::new(Pem::file(certificate), Pem::file(key));
    let collector = Collector::over_tls(tls);
    let headers = write(
        folder.path(),
        "headers",
        &format!("authorization=Bearer%20{SECRET}\n"),
    );
    fs::set_permissions(&headers, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let ca = format!("traces.tls.ca={}", ca.display());
    let file = format!("traces.headers={}", headers.display());
    let further = ["--set", &ca, "--set", &file, "--set", "log.filter=trace"];
    let mut host = start(&to(&collector.endpoint()), &further, &[]);
    let diagnostics = host.address("diagnostics");
    let snapshot = get(diagnostics, "/control/lifecycle").body;
    stop(&mut host);
    only(&collector.spans(), "stop");
    assert_eq!(
        collector.headers()["authorization"],
        format!("Bearer {SECRET}")
    );
    let log = host.whole_log();
    assert!(log.contains("orchestrator stopped"), "{log}");
    assert!(!log.contains(SECRET) && !snapshot.contains(SECRET));

    // And the same from a variable.
    let variable = format!("authorization=Bearer%20{SECRET}");
    let variables = [("OTEL_EXPORTER_OTLP_HEADERS", &*variable)];
    let further = [
        "--set",
        &ca,
        "--set",
        "traces.headers-env=OTEL_EXPORTER_OTLP_HEADERS",
    ];
    let mut arguments = to(&collector.endpoint());
    arguments.extend(further.map(str::to_owned));
    arguments.extend(["config".to_owned(), "show".to_owned()]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let shown = command(&arguments)
        .envs(variables)
        .output()
        .expect("it runs");
    assert!(shown.status.success(), "{shown:?}");
    assert!(!format!("{shown:?}").contains(SECRET), "{shown:?}");
}

#[test]
fn a_collector_that_is_not_trusted_gets_nothing() {
    let folder = TempDir::new().expect("a folder");
    let (certificate, key) = Authority::new("collectors").server().write(folder.path());
    let collector = Collector::over_tls(ServerTls::new(Pem::file(certificate), Pem::file(key)));
    let other = Authority::new("others");
    let ca = write(folder.path(), "ca.pem", &other.pem);
    let ca = format!("traces.tls.ca={}", ca.display());
    let mut host = start(&to(&collector.endpoint()), &["--set", &ca], &[]);
    host.address("control-plane:http");
    stop(&mut host);
    assert!(collector.spans().is_empty());
    assert!(host.whole_log().contains("spans are not exported"));
}

#[test]
fn what_is_wrong_with_the_section_is_said_with_its_line_and_the_remedy() {
    let mut exposed = NamedTempFile::new().expect("a file");
    exposed.write_all(b"a=secret").expect("it is written");
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(exposed.path(), readable).expect("it is ours");
    let exposed = exposed.path().display().to_string();
    for (section, line, expected) in [
        (
            "sample-ratio = 2",
            2,
            "expected a number from 0 to 1, found 2; write it like 0.1",
        ),
        (
            "queue = 0",
            2,
            "0 is out of range; use a whole number from 1 to",
        ),
        (
            "endpoint = \"collector\"",
            2,
            "is no place of a collector; write it like",
        ),
        (
            "endpoint = \"https://a\"",
            2,
            "nothing says whom to trust; add a section [traces.tls] with a ca",
        ),
        (
            "endpoint = \"http://a\"\nheaders-env = \"NOTHING\"",
            3,
            "there is no variable NOTHING; set it",
        ),
        (
            &format!("endpoint = \"http://127.0.0.1\"\nheaders = {exposed:?}"),
            3,
            "are open to others (mode 644); chmod 600 it",
        ),
        ("delay = \"1s\"", 2, "traces has no endpoint; say endpoint"),
        ("endpont = \"http://a\"", 2, "did you mean \"endpoint\"?"),
        (
            "endpoint = \"http://a\"\n[traces.tls]\nca = \"nowhere\"",
            4,
            "nowhere",
        ),
    ] {
        let mut file = NamedTempFile::new().expect("a file");
        write!(file, "[traces]\n{section}\n").expect("it is written");
        let path = file.path().display().to_string();
        let output = command(&["--config", &path]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        let place = format!("{path}:{line}: traces.");
        let mut lines = said.lines();
        let is_said = lines.any(|it| it.contains(&place) && it.contains(expected));
        assert!(is_said, "{expected}:\n{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn secrets_do_not_travel_to_other_machines_in_clear_text_unless_the_network_is_trusted() {
    let check = |further: &[&str]| {
        let mut arguments = vec!["--set", "traces.endpoint=http://192.0.2.1"];
        arguments.extend(further);
        arguments.extend(["config", "check"]);
        let variables = [("HEADERS", "a=b")];
        let output = command(&arguments)
            .envs(variables)
            .output()
            .expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(check(&[]).0, Some(0));
    let (code, said) = check(&["--set", "traces.headers-env=HEADERS"]);
    assert_eq!(code, Some(78));
    assert!(
        said.contains("would travel to another machine in clear text; write https://"),
        "{said}"
    );
    let trusted = [
        "--set",
        "traces.headers-env=HEADERS",
        "--set",
        "insecure=true",
    ];
    assert_eq!(check(&trusted).0, Some(0));
}

#[test]
fn the_time_for_the_last_spans_is_a_part_of_what_the_service_manager_must_grant() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut arguments = to(&format!("http://{address}"));
    let further = ["--set", "kill-timeout=47100ms"].map(str::to_owned);
    arguments.extend(further);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let output = command(&arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("1s for the last spans"), "{said}");
}
