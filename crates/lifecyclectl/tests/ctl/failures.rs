//! What goes wrong between the program and a host, and what it exits with.

use std::fs;

use serde_json::json;

use crate::documents::shop;
use crate::kit::{Run, asking, command, run};
use crate::page::check;
use crate::server::{Reply, Server};

#[test]
fn a_host_that_cannot_be_reached_exits_with_1() {
    let output = command()
        .args(["-u", "127.0.0.1:1", "status"])
        .output()
        .unwrap();
    let run = Run::from(output).failed(
        1,
        "http://127.0.0.1:1 cannot be reached: Connection refused",
    );
    assert_eq!(run.stderr.lines().count(), 2);
    assert!(run.stdout.is_empty());
}

#[test]
fn a_host_that_does_not_answer_in_time_exits_with_2() {
    let server = Server::new();
    server.on("GET /control/lifecycle", |_| Reply::silence());
    check("silent", &server, "status --timeout 200ms", 2);
}

#[test]
fn an_answer_that_is_cut_is_no_answer() {
    let server = Server::new();
    server.on("GET /control/lifecycle", |_| Reply::cut());
    run(&server, "status").failed(1, "gave no whole answer");
}

#[test]
fn a_document_of_another_schema_is_not_guessed_at() {
    let server = Server::new();
    let mut other = shop();
    other["schemaVersion"] = json!("v2");
    server.gives("GET /control/lifecycle", [other]);
    run(&server, "status").failed(1, "its schema is \"v2\"");
    run(&server, "status -o json").failed(1, "its schema is \"v2\"");
}

#[test]
fn what_is_not_found_exits_with_3() {
    let server = Server::new();
    server.on("GET /control/lifecycle/components/ordres/why", |_| {
        Reply::problem(
            404,
            "Not Found",
            "there is no component \"ordres\"; did you mean \"orders\"?",
        )
    });
    check("why-unknown", &server, "why ordres", 3);
    run(&server, "leaders").failed(3, "another listener of the host");
}

#[test]
fn what_is_refused_exits_with_4_and_anything_else_with_1() {
    let server = Server::new();
    let exits = [
        (401, 4, "--token-file"),
        (403, 4, "mesh.operate"),
        (409, 4, "how it is now"),
        (412, 4, "ask for the plan again"),
        (400, 1, "log"),
        (500, 1, "log"),
        (503, 1, "on its way up or down"),
    ];
    for (status, exit, remedy) in exits {
        server.on("POST /control/lifecycle/components/db/restart", move |_| {
            Reply::problem(status, "Title", "the detail")
        });
        let run = run(&server, "restart db").failed(exit, "error: Title: the detail\n");
        assert!(run.stderr.contains(remedy), "{status}: {}", run.stderr);
    }
}

#[test]
fn a_refusal_that_is_no_problem_document_is_told_by_its_status() {
    let server = Server::new();
    server.on("GET /control/lifecycle", |_| {
        Reply::json(502, &json!("<html>"))
    });
    run(&server, "status").failed(1, "Bad Gateway (502)");
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_64() {
    let server = Server::new();
    let lines = [
        "",
        "stauts",
        "plan destroy db",
        "status --timeout 10",
        "status -u https://a",
        "wait",
        "rolling-restart",
        "drain --deadline soon",
        "status --token a --token-file b",
    ];
    for line in lines {
        let run = run(&server, line).ended(64);
        assert!(!run.stderr.is_empty(), "{line}");
    }
    assert!(server.lines().is_empty());
    run(&server, "--help").ended(0);
    run(&server, "--version").ended(0);
}

#[test]
fn a_token_comes_by_flag_environment_or_file_and_is_sent_as_a_bearer() {
    let server = Server::new();
    server.gives("GET /control/lifecycle", [shop()]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "of-file\n").unwrap();
    run(&server, "status --token of-flag").ended(0);
    let by_environment = asking(&server)
        .env("LIFECYCLECTL_TOKEN", "of-env")
        .arg("status")
        .output();
    Run::from(by_environment.unwrap()).ended(0);
    run(&server, &format!("status --token-file {}", file.display())).ended(0);
    run(&server, "status").ended(0);
    let sent = server.requests();
    let sent: Vec<_> = sent.iter().map(|it| it.header("authorization")).collect();
    let expected = [
        Some("Bearer of-flag"),
        Some("Bearer of-env"),
        Some("Bearer of-file"),
        None,
    ];
    assert_eq!(sent, expected);
}

#[test]
fn a_token_is_never_printed() {
    let server = Server::new();
    server.on("GET /control/lifecycle", |_| {
        Reply::problem(401, "Unauthorized", "the token is unknown")
    });
    let lines = [
        "status",
        "status -o json",
        "status --help",
        "stauts",
        "completions bash",
    ];
    for line in lines {
        let mut command = asking(&server);
        command
            .env("LIFECYCLECTL_TOKEN", "hunter2\u{e9}")
            .args(line.split_whitespace());
        let run = Run::from(command.output().unwrap());
        assert!(
            !format!("{}{}", run.stdout, run.stderr).contains("hunter2"),
            "{line}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "hunter2\nhunter3").unwrap();
    let run = run(&server, &format!("status --token-file {}", file.display())).ended(64);
    assert!(!run.stderr.contains("hunter"), "{}", run.stderr);
}

#[test]
fn nothing_is_coloured_where_no_terminal_is() {
    let server = Server::new();
    server.gives("GET /control/lifecycle", [shop()]);
    let output = asking(&server).env("TERM", "xterm").arg("status").output();
    assert!(!Run::from(output.unwrap()).stdout.contains('\u{1b}'));
}
