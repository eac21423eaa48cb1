//! Hosts as processes that gossip, sealed, over a network that loses, delays, doubles, cuts and repeats datagrams.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, IMPATIENT, NEW, Node, OLD, alive, pause};
use crate::relay::Weather;
use crate::support::{ANYWHERE, Process, command, get_until, wait_for_peer};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A network that loses so many of a hundred datagrams, repeats some, and lets them overtake each other.
fn losing(percent: u64) -> Weather {
    let weather = Weather::default();
    let mut conditions = weather.conditions();
    conditions.loss = percent;
    conditions.doubled = 5;
    conditions.delay = Duration::from_millis(20);
    drop(conditions);
    weather
}

/// Fast rounds, and silence judged so late that no test waits for it.
const FAST: &[&str] = &[
    "gossip.gossip-interval=100ms",
    "gossip.suspicion-interval=30s",
    "gossip.leave-interval=60s",
];

#[expect(
    clippy::print_stdout,
    reason = "the times are what one wants to know of it"
)]
#[test]
fn everybody_knows_everybody_in_time_however_many_datagrams_are_lost() {
    for (loss, limit) in [(0, 6), (20, 9), (40, 15)] {
        let cluster = Cluster::start(&NAMES, losing(loss), &[]);
        let took = cluster.all_see(&NAMES);
        println!(
            "rounds of 1 s, {loss} % lost: three hosts know each other {took:.1?} after the last is up"
        );
        assert!(took < Duration::from_secs(limit), "{loss} %: {took:?}");
        // Who has heard of somebody by another has not spoken to him yet.
        cluster.until_all_have_spoken();
        if loss > 0 {
            cluster.until_weather(|it| it.lost > 0);
        }
        for from in &cluster.nodes {
            let peers = from.peers();
            for to in &cluster.nodes {
                assert_eq!(
                    peers[&to.name].address, to.front,
                    "nobody knows a way round"
                );
            }
        }
    }
}

#[test]
fn contract_b25_who_is_asked_to_stop_is_seen_to_have_left_before_anybody_could_miss_it() {
    let mut cluster = Cluster::start(
        &NAMES,
        losing(20),
        &[FAST, &["gossip.suspicion-interval=10s"]].concat(),
    );
    cluster.all_see(&NAMES);
    let begin = Instant::now();
    let leaving = cluster.node_mut("c");
    leaving.process.terminate();
    assert_eq!(leaving.process.exit().code(), Some(0));
    for name in ["a", "b"] {
        cluster.node(name).sees("c", "left");
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "nobody could have missed it"
        );
        let node = cluster.node_mut(name);
        node.process
            .logged_all(&["a member left: it said goodbye", "node_id=\"c\""]);
        let metric = "mesh_gossip_members{status=\"left\"}";
        assert_eq!(cluster.node(name).metric(metric), 1);
    }
}

#[test]
fn contract_71_who_is_killed_is_suspected_then_has_left_and_is_forgotten() {
    let mut cluster = Cluster::start(&NAMES, losing(10), IMPATIENT);
    cluster.all_see(&NAMES);
    let begin = Instant::now();
    cluster.node_mut("c").kill();
    cluster.nodes.retain(|it| it.name != "c");
    for node in &mut cluster.nodes {
        for (status, least, line) in [
            (
                "suspect",
                1_000,
                "a member is suspect: it has fallen silent",
            ),
            ("left", 2_500, "a member left: it was silent for too long"),
        ] {
            node.process.logged_all(&[line, "node_id=\"c\""]);
            let least = Duration::from_millis(least);
            assert!(
                begin.elapsed() > least,
                "{status} after {:?}",
                begin.elapsed()
            );
        }
    }
    for node in &cluster.nodes {
        node.until(|it| it.keys().map(String::as_str).eq(["a", "b"]));
        assert_eq!(node.metric("mesh_gossip_members{status=\"alive\"}"), 2);
        assert_eq!(node.metric("mesh_gossip_members{status=\"left\"}"), 0);
    }
}

/// Who leads, in which term, with which token, and until when.
fn leader(node: &Node) -> Value {
    let answer = get_until(node.http, "/control/leaders", |it| {
        it.status == 200 && it.json()["leaders"][0]["leaderId"].is_string()
    });
    answer.json()["leaders"][0].clone()
}

#[test]
fn a_cut_is_seen_from_both_sides_healed_without_a_restart_and_moves_no_leader() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!(
        "leadership.store.path={}",
        folder.path().join("leases").display()
    );
    let shared = ["leadership.store.kind=sqlite", &path];
    let mut cluster = Cluster::start(&NAMES, Weather::default(), &[IMPATIENT, &shared].concat());
    cluster.all_see(&NAMES);
    let before = cluster.node("a").peers();
    // The one that leads is alone on its side.
    let led = leader(cluster.node("a"));
    let alone = led["leaderId"].as_str().expect("a name").to_owned();
    let others: Vec<_> = NAMES.into_iter().filter(|it| *it != alone).collect();

    cluster.cut(&[&alone]);
    cluster
        .node(&alone)
        .until(|it| others.iter().all(|other| it[*other].status == "left"));
    for other in &others {
        let peers = cluster.node(other).until(|it| it[&alone].status == "left");
        assert_eq!(alive(&peers), others, "those on one side go on");
    }
    let received = cluster.node(&alone).received("ok");
    let mut renewed = led.clone();
    while renewed["expiresAt"] == led["expiresAt"] {
        renewed = leader(cluster.node(&alone));
        pause(Duration::from_millis(20));
    }
    assert_eq!(
        cluster.node(&alone).received("ok"),
        received,
        "answers are cut off too"
    );
    for name in NAMES {
        let now = leader(cluster.node(name));
        for key in ["leaderId", "term", "fenceToken"] {
            assert_eq!(now[key], led[key], "{name} sees another {key}");
        }
    }

    cluster.heal();
    cluster.all_see(&NAMES);
    for node in &mut cluster.nodes {
        node.process.logged_all(&["a member recovered"]);
    }
    let after = cluster.node("a").peers();
    for name in NAMES {
        assert_eq!(
            after[name].generation, before[name].generation,
            "nobody was restarted"
        );
        assert_eq!(leader(cluster.node(name))["term"], led["term"]);
    }
}

#[test]
fn who_is_not_heard_by_one_node_is_told_of_by_the_third() {
    let cluster = Cluster::start(&NAMES, Weather::default(), IMPATIENT);
    cluster.all_see(&NAMES);
    let [a, b, c] = NAMES.map(|it| cluster.node(it));
    cluster.weather.conditions().cuts = [(a.ip, c.ip)].into();
    // Longer than a silence that is suspect.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        for node in [a, b, c] {
            assert_eq!(alive(&node.peers()), NAMES, "{}", node.name);
        }
        pause(Duration::from_millis(50));
    }
    assert!(cluster.weather.conditions().lost > 0);
}

#[test]
fn who_is_killed_and_comes_back_is_one_member_of_a_later_generation() {
    let mut cluster = Cluster::start(&NAMES, losing(20), FAST);
    cluster.all_see(&NAMES);
    let before = cluster.node("a").peers()["c"].clone();
    let restarted = cluster.node_mut("c");
    restarted.kill();
    restarted.restart();
    for name in ["a", "b"] {
        let node = cluster.node(name);
        let peers = node.until(|it| it["c"].generation > before.generation);
        assert_eq!(alive(&peers), NAMES);
        assert_eq!(peers["c"].address, before.address);
        assert_eq!(node.metric("mesh_gossip_members{status=\"alive\"}"), 3);
        assert_eq!(node.metric("mesh_gossip_members{status=\"left\"}"), 0);
    }
    cluster.all_see(&NAMES);
}

#[test]
fn contract_72_a_host_with_another_key_and_one_of_another_cluster_stay_out_and_are_counted() {
    let mut cluster = Cluster::start(&["a", "b"], losing(20), FAST);
    cluster.all_see(&["a", "b"]);
    let same_id = OLD.replace("00112233", "00112234");
    let other = [FAST, &["gossip.cluster-id=other"]].concat();
    let strangers = [
        (
            "x",
            NEW,
            FAST,
            "unknown-key",
            "sealed with key 2, which this node does not have",
        ),
        (
            "y",
            same_id.as_str(),
            FAST,
            "forged",
            "not sealed with this node's key 1",
        ),
        (
            "z",
            OLD,
            &other,
            "forged",
            "not sealed with this node's key 1",
        ),
    ];
    for (name, keys, settings, outcome, line) in strangers {
        let before = cluster.node("a").received(outcome);
        let stranger = cluster.launch(name, keys, settings);
        cluster
            .node("a")
            .until_received(outcome, |it| it >= before + 3);
        cluster.node_mut("a").process.logged_all(&[line]);
        for node in &cluster.nodes {
            assert_eq!(node.peers().keys().collect::<Vec<_>>(), ["a", "b"]);
        }
        assert_eq!(stranger.peers().keys().collect::<Vec<_>>(), [name]);
        let ours = stranger.received("ok") + stranger.received(outcome);
        assert_eq!(ours, 0, "it is not answered");
    }
}

#[test]
fn what_was_recorded_before_a_restart_is_refused_after_it_and_counted() {
    let mut cluster = Cluster::start(&["a", "b"], Weather::default(), FAST);
    cluster.weather.conditions().tape = Some(Vec::new());
    cluster.all_see(&["a", "b"]);
    let enough = cluster.node("a").received("ok") + 12;
    cluster.node("a").until_received("ok", |it| it >= enough);
    let to_a = (cluster.node("b").ip, cluster.node("a").ip);
    let recorded = cluster.weather.conditions().tape.take().expect("it ran");
    let recorded: Vec<_> = recorded.into_iter().filter(|(it, _)| *it == to_a).collect();
    assert!(recorded.len() >= 12, "{}", recorded.len());

    let before = cluster.node("a").peers()["b"].generation;
    cluster.node_mut("b").kill();
    cluster.node_mut("b").restart();
    let reborn = cluster.node("a").until(|it| it["b"].generation > before)["b"].clone();
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    let a = cluster.node("a");
    for (refused, (_, datagram)) in (a.received("replayed") + 1..).zip(&recorded) {
        stranger.send_to(datagram, a.bound()).expect("it is open");
        // Each is waited for, so that the socket loses none.
        a.until_received("replayed", |it| it >= refused);
    }
    assert_eq!(a.peers()["b"], reborn);
    cluster
        .node_mut("a")
        .process
        .logged_all(&["is of an earlier start of it"]);
}

#[test]
fn a_host_that_has_just_started_takes_nobody_for_a_member_by_what_was_recorded_before() {
    let mut cluster = Cluster::start(&["a", "b"], Weather::default(), FAST);
    let to_a = (cluster.node("b").ip, cluster.node("a").ip);
    // From its first word on.
    cluster.node_mut("b").kill();
    cluster.weather.conditions().tape = Some(Vec::new());
    cluster.node_mut("b").restart();
    cluster.all_see(&["a", "b"]);
    let enough = cluster.node("a").received("ok") + 12;
    cluster.node("a").until_received("ok", |it| it >= enough);
    let recorded = cluster.weather.conditions().tape.take().expect("it ran");
    let recorded = recorded.into_iter().filter(|(it, _)| *it == to_a);
    cluster.node_mut("b").kill();
    cluster.node_mut("a").kill();
    cluster.node_mut("a").restart();

    let a = cluster.node("a");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    for (sent, (_, datagram)) in (1..).zip(recorded) {
        stranger.send_to(&datagram, a.bound()).expect("it is open");
        a.until_received("ok", |it| it + a.received("replayed") >= sent);
        // Each of its heartbeats is seen to rise.
        pause(Duration::from_millis(30));
    }
    assert!(a.received("replayed") > 6, "answers are refused");
    assert!(a.received("ok") > 0, "questions are not");
    assert_eq!(a.peers().keys().collect::<Vec<_>>(), ["a"]);
    cluster
        .node_mut("a")
        .process
        .logged_all(&["answers what this start has not asked"]);
}

/// Gives these keys to one node after the other, and waits each time until it has taken them over and everybody has heard somebody.
fn roll_out(cluster: &mut Cluster, keys: &str, taken: &str) {
    for index in 0..cluster.nodes.len() {
        let node = &mut cluster.nodes[index];
        node.give_keys(keys);
        node.process
            .logged_all(&["gossip has a new ring of keys", taken]);
        for node in &cluster.nodes {
            let heard = node.received("ok");
            node.until_received("ok", |it| it >= heard + 4);
            assert_eq!(alive(&node.peers()), NAMES);
        }
    }
}

#[test]
fn a_key_is_replaced_in_three_steps_while_hosts_run_and_nobody_misses_anybody() {
    let mut cluster = Cluster::start(&NAMES, losing(5), IMPATIENT);
    cluster.all_see(&NAMES);
    roll_out(
        &mut cluster,
        &format!("{OLD}\n{NEW}\n"),
        "seals=1 opens=[1, 2]",
    );
    roll_out(
        &mut cluster,
        &format!("{NEW}\n{OLD}\n"),
        "seals=2 opens=[2, 1]",
    );
    roll_out(&mut cluster, &format!("{NEW}\n"), "seals=2 opens=[2]");
    for node in &mut cluster.nodes {
        assert!(node.metric("mesh_gossip_opened_total{key=\"2\"}") > 0);
        for outcome in ["forged", "malformed"] {
            assert_eq!(node.received(outcome), 0, "{outcome}");
        }
        node.process.terminate();
    }
    for node in cluster.nodes {
        let log = node.process.whole_log();
        for line in [
            "is suspect",
            "was silent",
            "recovered",
            "which this node does not have",
        ] {
            assert!(!log.contains(line), "{line}: {log}");
        }
    }
}

#[test]
fn who_is_left_with_the_old_key_alone_falls_out_and_comes_back_with_the_new_one() {
    let cluster = Cluster::start(&NAMES, Weather::default(), IMPATIENT);
    cluster.all_see(&NAMES);
    for name in ["a", "b"] {
        cluster.node(name).give_keys(NEW);
    }
    for (one, other) in [("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")] {
        cluster.node(one).sees(other, "left");
    }
    for name in ["a", "b"] {
        assert_eq!(alive(&cluster.node(name).peers()), ["a", "b"]);
    }
    assert!(cluster.node("c").received("unknown-key") > 0);
    let before = cluster.node("a").peers()["c"].generation;
    cluster.node("c").give_keys(NEW);
    cluster.all_see(&NAMES);
    let after = cluster.node("a").peers()["c"].generation;
    assert_eq!(after, before, "it was not restarted");
}

#[test]
fn keys_may_be_in_a_variable_that_must_be_set_and_is_shown_nowhere() {
    let named = ["--set", "gossip.keys-env=PLANE_KEYS"];
    let check = |value: Option<&str>, further: &[&str]| {
        let mut command = command(&[&named[..], further, &["config", "check"]].concat());
        command.envs(value.map(|it| ("PLANE_KEYS", it)));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let both = ["--set", "gossip.keys-file=/nowhere/keys"];
    let cases: [(_, &[&str], _); 3] = [
        (
            None,
            &[],
            "--set: gossip.keys-env: names the variable PLANE_KEYS, which is not set",
        ),
        (
            Some("1:00112233"),
            &[],
            "PLANE_KEYS, whose keys are wrong: line 1 has a key that",
        ),
        (
            Some(OLD),
            &both,
            "gossip.keys-env: is set although the keys are in a file already",
        ),
    ];
    for (value, further, said) in cases {
        let (code, printed) = check(value, further);
        assert_eq!(code, Some(78));
        assert!(printed.contains(said), "{said} in\n{printed}");
        assert!(!printed.contains("00112233"), "{printed}");
    }

    let variable = [("PLANE_KEYS", &*format!("{OLD},{NEW}"))];
    let start = |further: &[&str]| Process::start(&[ANYWHERE, &named, further].concat(), &variable);
    let mut first = start(&["--node-id", "a", "--set", FAST[0]]);
    let seed = first.address("mesh-gossip").to_string();
    let mut second = start(&["--node-id", "b", "--set", FAST[0], "--seed", &seed]);
    wait_for_peer(first.address("control-plane:http"), "b", "alive");
    wait_for_peer(second.address("control-plane:http"), "a", "alive");
    for mut host in [first, second] {
        host.logged_all(&["gossip is listening", "sealed=true"]);
        host.terminate();
        assert!(!host.whole_log().contains("00112233"));
    }
    let mut shown = command(&[&named[..], &["config", "show"]].concat());
    let shown = shown.envs(variable).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("PLANE_KEYS") && !shown.contains("00112233"),
        "{shown}"
    );
}
