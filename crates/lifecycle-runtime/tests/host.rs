//! Hosts as real processes: signals, exit codes, and what is written.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_runtime::ExitStatus;

/// A running example. Killed when dropped, so that no failed test leaves one behind.
struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

impl Process {
    fn of(example: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(path_of(example));
        Self::spawn(command.args(arguments).env_remove("NOTIFY_SOCKET"))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("examples are built with the tests");
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            errors
                .lines()
                .map_while(Result::ok)
                .try_for_each(|it| sender.send(it))
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with `text` in it.
    #[track_caller]
    fn reaches(&mut self, text: &str) -> &mut Self {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let Ok(line) = line else {
                panic!("no {text:?} in {:#?}", self.seen);
            };
            let found = line.contains(text);
            self.seen.push(line);
            if found {
                return self;
            }
        }
    }

    fn signal(&mut self, name: &str) -> &mut Self {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(sent.success());
        self
    }

    /// The exit code, and everything written to standard error.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        let code = self.child.wait().unwrap().code();
        (code, std::mem::take(&mut self.seen))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Examples stand beside the folder that tests stand in. A run of this file alone does not build them, so that is made
/// up for.
fn path_of(example: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|it| it.parent()).unwrap();
    let path = folder.join("examples").join(example);
    if !path.exists() {
        BUILD.call_once(|| build_examples(folder));
    }
    path
}

fn build_examples(folder: &Path) {
    let profile = match folder.file_name().and_then(|it| it.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")])
        .args(["--examples", "--profile", profile])
        .status();
    assert!(built.unwrap().success());
}

/// The names of events about components, in order, with their component.
fn story(lines: &[String]) -> Vec<String> {
    let field = |line: &str, name: &str| {
        let rest = line.split_once(&format!(" {name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let told = |line: &String| {
        let event = field(line, "event")?;
        let what = event.strip_prefix("component.")?;
        Some(format!("{} {what}", field(line, "component")?))
    };
    lines.iter().filter_map(told).collect()
}

#[test]
fn museum_25_the_first_example_stops_in_order_when_the_ordinary_signal_comes() {
    let mut process = Process::of("three_components", &[]);
    process.reaches("orchestrator.started").signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(
        story(&lines),
        [
            "pool starting",
            "pool started",
            "worker starting",
            "worker started",
            "listener starting",
            "listener started",
            "listener stopping",
            "listener stopped",
            "worker stopping",
            "worker stopped",
            "pool stopping",
            "pool stopped",
        ]
    );
}

#[test]
fn an_interrupt_is_as_good_as_a_request_to_terminate() {
    let mut process = Process::of("trouble", &["none"]);
    process.reaches("orchestrator.started").signal("INT");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn semantics_31_the_second_signal_forces_and_the_process_says_what_it_dropped() {
    let mut process = Process::of("trouble", &["deaf"]);
    process.reaches("orchestrator.started").signal("TERM");
    process.reaches("component.stopping").signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(71), "{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|it| it == "error: stop: 2 components did not stop cleanly:")
            || lines
                .iter()
                .any(|it| it.starts_with("error: stop: stop: \"worker\" aborted")),
        "{lines:#?}"
    );
    assert!(story(&lines).contains(&"pool stopped".to_owned()));
}

#[test]
fn semantics_31_the_third_signal_ends_the_process_at_once() {
    let mut process = Process::of("trouble", &["blocks"]);
    process.reaches("orchestrator.started").signal("TERM");
    process.reaches("component.stopping").signal("INT");
    process.reaches("by force").signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(128 + 15), "{lines:#?}");
}

#[test]
fn a_component_that_blocks_its_thread_does_not_hold_up_the_process() {
    let mut process = Process::of("trouble", &["blocks"]);
    process.reaches("orchestrator.started").signal("TERM");
    process.reaches("component.stopping").signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(71), "{lines:#?}");
    let abandoned = lines.iter().find(|it| it.contains("component.abandoned"));
    assert!(abandoned.unwrap().contains("tasks=\"stop\""));
}

#[test]
fn museum_04_a_signal_that_comes_before_the_start_prevents_it() {
    let mut process = Process::of("trouble", &["slow-build"]);
    // The host listens before it builds, and the build takes a second.
    thread::park_timeout(Duration::from_millis(400));
    process.signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(story(&lines), [""; 0]);
}

#[test]
fn museum_23_the_exit_code_says_how_it_went() {
    for (trouble, expected, said) in [
        ("lost", 1, "the link is gone"),
        (
            "refuses",
            70,
            "error: start: \"worker\" failed to start: no port left",
        ),
        ("panics", 70, "out of luck"),
        ("misspelt", 78, "\"pol\""),
        ("nonsense", 78, "usage: trouble"),
    ] {
        let (code, lines) = Process::of("trouble", &[trouble]).end();
        assert_eq!(code, Some(expected), "{trouble}: {lines:#?}");
        assert!(
            lines.iter().any(|it| it.contains(said)),
            "{trouble}: {lines:#?}"
        );
    }
    let (code, _) = Process::of("trouble", &[]).end();
    assert_eq!(code, Some(64));
}

/// What a service manager hears.
struct Listener {
    folder: PathBuf,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Listener {
    fn new(name: &str) -> Self {
        let folder = format!("lifecycle-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("notify");
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            folder,
            socket,
            heard: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("notify")
    }

    /// Waits until `text` has been said.
    #[track_caller]
    fn hears(&mut self, text: &str) -> &mut Self {
        let mut buffer = [0; 1_024];
        while !self.heard.iter().any(|it| it == text) {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                panic!("no {text:?} in {:#?}", self.heard);
            };
            let said = String::from_utf8_lossy(&buffer[..length]);
            self.heard.extend(said.lines().map(str::to_owned));
        }
        self
    }

    fn statuses(&self) -> Vec<&str> {
        let statuses = self.heard.iter();
        statuses
            .filter_map(|it| it.strip_prefix("STATUS="))
            .collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_service_manager_is_told_ready_and_stopping_and_how_far_it_is() {
    let mut manager = Listener::new("notify");
    let mut command = Command::new(path_of("trouble"));
    let mut process = Process::spawn(command.arg("slow").env("NOTIFY_SOCKET", manager.path()));
    manager.hears("READY=1");
    process.signal("TERM");
    manager.hears("STOPPING=1").hears("STATUS=stopped");
    assert_eq!(process.end().0, Some(0));
    let statuses = manager.statuses();
    let position = |text: &str| {
        let found = statuses.iter().position(|it| *it == text);
        found.unwrap_or_else(|| panic!("no {text:?} in {statuses:?}"))
    };
    let told = [
        "starting",
        "starting: 1 of 2 running",
        "running",
        "stopping: 2 left",
        "stopped",
    ]
    .map(position);
    assert!(told.is_sorted(), "{statuses:?}");
    // Five states, and what came between them within two stretches of two seconds each.
    assert!(statuses.len() <= 9, "{statuses:?}");
}

#[test]
fn the_watchdog_of_the_service_manager_is_fed_while_the_driver_turns() {
    let mut manager = Listener::new("watchdog");
    let mut command = Command::new(path_of("trouble"));
    // Whose watchdog it is, is left out: that would be the number of a process that is not there yet.
    let command = command
        .arg("none")
        .env("NOTIFY_SOCKET", manager.path())
        .env("WATCHDOG_USEC", "100000")
        .env_remove("WATCHDOG_PID");
    let mut process = Process::spawn(command);
    process.reaches("orchestrator.started");
    manager.hears("READY=1");
    for _ in 0..3 {
        manager.heard.clear();
        manager.hears("WATCHDOG=1");
    }
    process.signal("TERM");
    manager.hears("STOPPING=1");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_host_that_would_be_killed_in_its_stop_does_not_start() {
    let (code, lines) = Process::of("trouble", &["kill-timeout"]).end();
    assert_eq!(code, Some(78), "{lines:#?}");
    let said =
        "error: configuration: the service manager kills after 30s, but a stop may take 47032ms";
    assert!(lines.iter().any(|it| it.starts_with(said)), "{lines:#?}");
    assert_eq!(story(&lines), [""; 0]);
}

#[test]
fn a_host_whose_components_declare_more_than_a_stop_may_take_says_which() {
    let mut process = Process::of("trouble", &["long-stop"]);
    process.reaches("orchestrator.started").signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    let line = lines.iter().find(|it| it.contains("plan.worst_stop"));
    let line = line.unwrap_or_else(|| panic!("{lines:#?}"));
    for part in [
        "WARN",
        "a stop may take 60s: 60s to stop (worker 45s, pool 15s)",
        "cuts it short after 45s, and the service manager kills after 50s",
    ] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
}

/// Runs a host in trouble, asks it once to stop, and checks that it is gone within its deadline (3 s), what it waits for
/// leftovers (1 s), and a second.
#[track_caller]
fn stops_in_time(trouble: &str) -> (Option<i32>, Vec<String>) {
    let mut process = Process::of("trouble", &[trouble]);
    process.reaches("orchestrator.started").signal("TERM");
    let asked = Instant::now();
    let (code, lines) = process.end();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}: {lines:#?}");
    (code, lines)
}

/// Checks that a line with all of `parts` comes before the stop has ended.
#[track_caller]
fn names_before_the_end(lines: &[String], parts: &[&str]) {
    let named = lines
        .iter()
        .position(|line| parts.iter().all(|part| line.contains(part)));
    let ended = lines
        .iter()
        .position(|line| line.contains("orchestrator.stopped"));
    assert!(
        named.is_some() && named < ended,
        "{parts:?} at {named:?}, the end at {ended:?}: {lines:#?}"
    );
}

#[test]
fn semantics_30_a_stop_that_blocks_its_thread_is_named_before_the_host_ends_without_it() {
    let (code, lines) = stops_in_time("blocks-in-stop");
    assert_eq!(code, Some(71), "{lines:#?}");
    let parts = [
        "WARN",
        "event=\"component.blocked\"",
        "component=\"worker\"",
        "what=\"stop\"",
        "thread=\"component-",
        "progress=\"flushing 7/9\"",
    ];
    names_before_the_end(&lines, &parts);
    names_before_the_end(&lines, &["component.abandoned", "tasks=\"stop\""]);
    let left = lines.iter().find(|it| it.contains("host.left_behind"));
    assert!(left.is_some_and(|it| it.contains("component=\"worker\"")));
}

#[test]
fn semantics_30_a_task_that_blocks_its_thread_is_named_and_left_behind() {
    let (code, lines) = stops_in_time("blocks-in-task");
    assert_eq!(code, Some(71), "{lines:#?}");
    names_before_the_end(
        &lines,
        &["component.blocked", "component=\"worker\"", "what=\"spin\""],
    );
    names_before_the_end(&lines, &["component.abandoned", "tasks=\"spin\""]);
}

#[test]
fn a_task_that_blocks_its_thread_for_a_while_is_named_at_doubling_intervals_and_when_it_is_over() {
    let mut process = Process::of("trouble", &["blocks-for-a-while"]);
    process.reaches("component.unblocked").signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    let told = |event: &str| {
        let event = format!("event=\"component.{event}\"");
        let lines = lines.iter().filter(|it| it.contains(&event));
        lines.collect::<Vec<_>>()
    };
    let lasted = |line: &str| -> u64 {
        let rest = line.split_once("duration_ms=").unwrap().1;
        rest.split_once(' ').unwrap().0.parse().unwrap()
    };
    // A busy machine may look late, and so less often; never early, and never more often.
    let blocked: Vec<_> = told("blocked").into_iter().map(|it| lasted(it)).collect();
    assert!(matches!(blocked.len(), 1 | 2), "{lines:#?}");
    let least = [300, 600];
    assert!(
        blocked.iter().zip(least).all(|(it, least)| *it >= least),
        "{blocked:?}"
    );
    let [over] = told("unblocked")[..] else {
        panic!("{lines:#?}");
    };
    assert!(
        over.contains("INFO") && over.contains("what=\"sort\""),
        "{over}"
    );
    assert!(lasted(over) >= 700, "{over}");
}

#[test]
fn semantics_30_an_isolated_component_that_blocks_is_named_and_left_behind() {
    let (code, lines) = stops_in_time("blocks-isolated");
    assert_eq!(code, Some(71), "{lines:#?}");
    names_before_the_end(
        &lines,
        &["component.blocked", "thread=\"worker\"", "isolated=true"],
    );
    names_before_the_end(&lines, &["component.abandoned", "tasks=\"stop\""]);
    assert!(story(&lines).contains(&"pool stopped".to_owned()));
}

#[test]
fn a_value_that_blocks_when_dropped_is_named_and_left_behind_by_a_clean_end() {
    let (code, lines) = stops_in_time("blocks-in-drop");
    assert_eq!(code, Some(0), "{lines:#?}");
    for event in ["component.blocked", "host.left_behind"] {
        let named = lines.iter().find(|it| it.contains(event));
        let named = named.unwrap_or_else(|| panic!("no {event} in {lines:#?}"));
        assert!(named.contains("component=\"worker\"") && named.contains("what=\"drop\""));
    }
}

#[test]
fn a_blocking_call_of_the_users_own_does_not_hold_up_the_process() {
    let (code, lines) = stops_in_time("blocking-call");
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(lines.iter().any(|it| it.contains("host.left_behind")));
}

#[test]
fn a_host_whose_log_nobody_reads_stops_all_the_same() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut full = writer.try_clone().unwrap();
    // Filled to the brim by a thread that blocks from then on.
    thread::spawn(move || while full.write_all(&[b'.'; 1_024]).is_ok() {});
    thread::park_timeout(Duration::from_millis(300));
    let mut manager = Listener::new("unread");
    let mut command = Command::new(path_of("trouble"));
    let command = command
        .arg("none")
        .env("NOTIFY_SOCKET", manager.path())
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(writer);
    let child = command.spawn().unwrap();
    let mut process = Process {
        child,
        lines: mpsc::channel().1,
        seen: Vec::new(),
    };
    manager.hears("READY=1");
    process.signal("TERM");
    let asked = Instant::now();
    manager.hears("STATUS=stopped");
    assert_eq!(process.end().0, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3));
    drop(reader);
}

#[test]
fn contract_b28_the_architecture_page_has_the_exit_codes_of_a_host() {
    let page = include_str!("../../../docs/architecture.md");
    let (_, told) = page.split_once("Exit codes: ").expect("it tells them");
    let (told, _) = told.split_once('.').expect("a sentence");
    let told: Vec<_> = told
        .split(", ")
        .filter_map(|it| it.split_whitespace().next())
        .collect();
    let statuses = [
        ExitStatus::Clean,
        ExitStatus::EssentialLost,
        ExitStatus::Usage,
        ExitStatus::StartFailed,
        ExitStatus::StopFailed,
        ExitStatus::Configuration,
    ];
    assert_eq!(told, statuses.map(|it| it.code().to_string()));
}

#[test]
fn the_first_example_of_the_readme_is_the_one_that_runs_here() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../examples/three_components.rs");
    let shown = readme
        .split("```")
        .nth(1)
        .and_then(|it| it.strip_prefix("rust\n"));
    let shown = shown.expect("the page begins with an example");
    assert!(example.ends_with(shown), "the page shows:\n{shown}");
}
