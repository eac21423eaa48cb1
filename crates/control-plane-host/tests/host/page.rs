//! docs/control-plane-host.md against the wiring, the defaults, the flags, the listeners and the protocol.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use control_plane_host::cli::Arguments;
use control_plane_host::config::Config;
use control_plane_host::host::COMPONENTS;
use lifecycle_core::{EdgeKind, Nanos, OnLoss};
use lifecycle_runtime::ExitStatus;

use crate::support::{Process, ask};
use crate::wiring::{config, criticality, names, plan};

const PAGE: &str = include_str!("../../../../docs/control-plane-host.md");

/// The cells of the table below this head, row by row.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let (_, table) = PAGE.split_once(head).expect("there is such a table");
    let lines = table.lines().skip(2);
    let lines = lines.take_while(|it| it.starts_with('|'));
    let cells = |line: &'static str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(str::trim).collect::<Vec<_>>()
    };
    let rows: Vec<_> = lines.map(cells).collect();
    assert!(!rows.is_empty(), "{head}");
    rows
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn contract_b28_the_components_of_the_host_are_on_its_page_as_they_are_wired() {
    let mut config = config();
    config.grpc.address = config.http.address;
    config.grpc.enabled = true;
    let plan = plan(&config);
    let mut found = Vec::new();
    for row in rows("| component | address | edges | criticality |") {
        let [name, _, edges, judged] = row[..] else {
            panic!("four cells: {row:?}");
        };
        let name = code(name).next().expect("a name");
        found.push(name);
        let id = plan.find(name).expect("it is registered");
        let wired = plan.dependencies(id).iter();
        let wired = wired.filter(|it| it.kind != EdgeKind::Order);
        for edge in wired.clone() {
            assert_eq!(
                (edge.kind, edge.on_loss),
                (EdgeKind::Hard, OnLoss::Tolerates)
            );
        }
        let wired: BTreeSet<_> = wired.map(|it| plan.name(it.component).as_str()).collect();
        let told: BTreeSet<_> = code(edges).filter(|it| COMPONENTS.contains(it)).collect();
        assert_eq!(told, wired, "{name}");
        let begin = if wired.is_empty() {
            "none"
        } else {
            "hard, tolerates: "
        };
        assert!(edges.starts_with(begin), "{name}: {edges}");
        let word = criticality(&plan, name).as_str();
        assert!(judged.starts_with(word), "{name}: {judged}");
        let drains = judged.contains("takes part in a drain");
        assert_eq!(drains, plan.drains(id), "{name}");
    }
    assert_eq!(found, names(&plan));
    assert_eq!(found.len(), COMPONENTS.len());
}

#[test]
fn contract_b28_the_addresses_on_the_page_of_the_host_are_its_defaults() {
    let config = Config::default();
    let addresses = [
        Some(config.diagnostics.address.to_string()),
        Some(format!("{}/udp", config.gossip.options.bind)),
        None,
        Some(config.http.address.to_string()),
        Some(config.grpc.address.to_string()),
    ];
    let told = rows("| component | address | edges | criticality |");
    let told = told
        .iter()
        .map(|row| code(row[1]).next().map(str::to_owned));
    assert_eq!(told.collect::<Vec<_>>(), addresses);
    let printed = format!(
        "```\ndiagnostics http://{}\nmesh-gossip udp://{}\ncontrol-plane:http http://{}\n```\n",
        config.diagnostics.address, config.gossip.options.bind, config.http.address
    );
    assert!(PAGE.contains(&printed), "not on the page:\n{printed}");
}

#[test]
fn contract_b28_the_flags_on_the_page_of_the_host_are_those_that_it_takes() {
    let (_, told) = PAGE.split_once("\nFlags: ").expect("it names them");
    let (told, _) = told.split_once("\n\n").expect("a paragraph");
    let flags = code(told).filter_map(|it| it.strip_prefix("--"));
    let flags: BTreeSet<_> = flags.filter_map(|it| it.split(' ').next()).collect();
    let command = Arguments::command();
    let taken = command.get_arguments().filter_map(clap::Arg::get_long);
    // The file is told of before.
    let taken: BTreeSet<_> = taken.filter(|it| *it != "config").collect();
    assert_eq!(flags, taken);
    assert!(PAGE.contains("`--config FILE`"));
}

#[test]
fn contract_b28_the_exit_codes_on_the_page_of_the_host_are_those_of_the_runtime() {
    let told = rows("| code | meaning |");
    let told: Vec<_> = told.iter().map(|row| row[0].to_owned()).collect();
    let statuses = [
        ExitStatus::Clean,
        ExitStatus::EssentialLost,
        ExitStatus::Usage,
        ExitStatus::StartFailed,
        ExitStatus::StopFailed,
        ExitStatus::Configuration,
    ];
    let codes = statuses.iter().map(|it| it.code().to_string());
    let codes = codes.chain(["128 + n".to_owned()]);
    assert_eq!(told, codes.collect::<Vec<_>>());
}

#[test]
fn contract_b28_every_path_on_the_page_of_the_host_is_there_on_both_listeners() {
    let mut host = Process::anywhere(&[]);
    let listeners = ["diagnostics", "control-plane:http"].map(|it| host.address(it));
    for row in rows("| path | on | answer |") {
        assert!(row[1].starts_with("both"), "{row:?}");
        let mut before = String::new();
        for told in code(row[0]).filter(|it| it.starts_with(['/', '…'])) {
            let path = match told.strip_prefix('…') {
                Some(last) => {
                    let (folder, _) = before.rsplit_once('/').expect("a path");
                    format!("{folder}{last}")
                }
                None => told.replace("{name}", "diagnostics"),
            };
            for listener in listeners {
                // No route takes this, and one that is not there says so.
                let answer = ask(listener, "PUT", &path, None);
                assert_eq!(answer.status, 405, "{path}: {answer:?}");
            }
            before = path;
        }
    }
    for listener in listeners {
        assert_eq!(ask(listener, "PUT", "/control/nothing", None).status, 404);
    }
}

#[test]
fn contract_b28_the_services_on_the_page_of_the_host_are_those_of_its_protocol() {
    let protocol = [
        include_str!("../../proto/controlplane/v1/lifecycle.proto"),
        include_str!("../../proto/controlplane/v1/leadership.proto"),
    ];
    let word_after = |line: &'static str, keyword: &str| {
        let rest = line.trim_start().strip_prefix(keyword)?;
        rest.split([' ', '(']).next()
    };
    let mut methods = BTreeSet::new();
    for text in protocol {
        let mut service = "";
        for line in text.lines() {
            service = word_after(line, "service ").unwrap_or(service);
            let method = word_after(line, "rpc ");
            methods.extend(method.map(|it| format!("controlplane.v1.{service}/{it}")));
        }
    }
    let told = rows("| service | answers |");
    let told = told.iter().filter_map(|row| code(row[0]).next());
    let ours = told.filter(|it| it.starts_with("controlplane."));
    assert_eq!(ours.map(str::to_owned).collect::<BTreeSet<_>>(), methods);
}

#[test]
fn contract_b28_the_times_of_gossip_on_the_page_of_the_host_are_its_defaults() {
    let options = Config::default().gossip.options;
    let seconds = |it: Nanos| std::time::Duration::from(it).as_secs();
    for told in [
        format!(
            "after {} s (`suspicion-interval`)",
            seconds(options.suspicion_interval)
        ),
        format!(
            "after {} s (`leave-interval`)",
            seconds(options.leave_interval)
        ),
        format!(
            "some {} min (`dead-node-grace`)",
            seconds(options.dead_node_grace) / 60
        ),
    ] {
        assert!(PAGE.contains(&told), "not on the page: {told}");
    }
}
