//! What is waited for between the commands, where a reader has looked twice.

use std::env::consts::ARCH;

use crate::page::Play;
use crate::process::fixed_port;
use crate::programs;
use crate::shell::Shell;

/// A shell on a machine where the ports of the page are free: others stand for them.
fn machine() -> Shell {
    let free = || format!("127.0.0.1:{}", fixed_port());
    let [diagnostics, http, gossip] = [free(), free(), free()];
    let further = [9280, 9281, 17_422, 9380, 9381, 17_423, 2379, 2380];
    let shell = further.iter().fold(Shell::alone(), |shell, port| {
        shell.stands_for(&format!("127.0.0.1:{port}"), &free())
    });
    // The first host takes the default ports, which the page does not name.
    shell
        .stands_for("127.0.0.1:9180", &diagnostics)
        .stands_for("127.0.0.1:17421", &gossip)
        .variable("CONTROL_PLANE_HOST__DIAGNOSTICS__ADDRESS", &diagnostics)
        .variable("CONTROL_PLANE_HOST__HTTP__ADDRESS", &http)
        .variable("CONTROL_PLANE_HOST__GOSSIP__BIND", &gossip)
        // What it would be by itself, on a machine called `a` with these ports.
        .variable("CONTROL_PLANE_HOST__GOSSIP__NODE_ID", "mesh-a-17421")
        .variable("LIFECYCLECTL_ENDPOINT", &diagnostics)
        // It runs on more than it is tested on.
        .variable("ETCD_UNSUPPORTED_ARCH", ARCH)
}

pub(super) fn one_host_comes_up_without_a_configuration_and_stops(play: &mut Play) {
    let shell = machine();
    play.several(3, &shell);
    shell.until("lifecyclectl leaders", " *  1 ");
    play.several(3, &shell);
    shell.until("cat host.log", "host stopped");
    play.next(&shell);
}

pub(super) fn of_three_hosts_one_is_drained_and_another_leads_when_the_leader_is_killed(
    play: &mut Play,
) {
    let shell = machine();
    play.several(4, &shell);
    shell.until("lifecyclectl leaders", "plane-1 *");
    play.several(2, &shell);
    for peer in ["plane-2", "plane-3"] {
        // How long a message takes there and back is known a little later than the peer.
        let row = format!("lifecyclectl peers | grep {peer}");
        shell.until(&row, "ms  worker");
    }
    play.next(&shell);
    shell.until("lifecyclectl -u 127.0.0.1:9280 leaders", "plane-1");
    play.several(4, &shell);
    shell.until("lifecyclectl -u 127.0.0.1:9380 leaders", "plane-3 *");
    play.next(&shell);
    let lost = "lifecyclectl -u 127.0.0.1:9380 peers | grep plane-1";
    shell.until(lost, "left");
    play.several(3, &shell);
    shell.until("lifecyclectl -u 127.0.0.1:9280 leaders", "plane-2 *");
    play.several(2, &shell);
    shell.until("cat plane-2.log", "host stopped");
}

pub(super) fn leadership_moves_by_way_of_etcd(play: &mut Play) {
    programs::knows_etcd();
    let shell = machine();
    let key = "umask 077; echo \"1:$(openssl rand -hex 32)\" > gossip.keys";
    shell.run(key).ended(0);
    play.next(&shell);
    let health = "curl --silent http://127.0.0.1:2379/health";
    shell.until(health, "\"health\":\"true\"");
    play.several(4, &shell);
    shell.until("lifecyclectl leaders", "plane-1 *");
    play.several(4, &shell);
    shell.until("lifecyclectl -u 127.0.0.1:9280 leaders", "plane-2 *");
    play.several(3, &shell);
}

pub(super) fn only_who_shows_a_token_may_look_and_act(play: &mut Play) {
    let shell = machine();
    play.several(4, &shell);
    let ready = "curl --silent --cacert server.pem https://127.0.0.1:9180/readyz";
    shell.until(ready, "\"state\":\"running\"");
    play.several(6, &shell);
}
