//! docs/leadership.md: what etcd is told.

use crate::page::{Page, sections};

pub(super) const PAGE: Page = Page::of("docs/leadership.md");

sections! {
    PAGE;
    a_user_of_etcd_with_the_role_of_the_page_and_nothing_else_leads: "Stores",
}

mod scenes {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::leadership::Etcd;
    use crate::page::Play;
    use crate::pages::machine;

    pub(super) fn a_user_of_etcd_with_the_role_of_the_page_and_nothing_else_leads(play: &mut Play) {
        let etcd = Etcd::start();
        let shell = machine()
            .variable("ETCDCTL_ENDPOINTS", &etcd.client)
            .variable("ETCDCTL_API", "3");
        let password = shell.folder().join("plane-1.password");
        fs::write(&password, "a-long-one-and-hard-to-guess\n").expect("it is written");
        let only_us = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&password, only_us).expect("it is ours");
        play.several(3, &shell);
        // From here on it asks everybody who they are.
        for enables in [
            "etcdctl user add root --new-user-password=root",
            "etcdctl user grant-role root root",
            "etcdctl auth enable",
        ] {
            shell.run(enables).ended(0);
        }
        let settings = [
            "leadership.store.kind=etcd",
            &format!("leadership.store.endpoints={}", etcd.client),
            "leadership.store.user=plane-1",
            "leadership.store.password-file=plane-1.password",
        ];
        let settings: String = settings.iter().map(|it| format!(" --set {it}")).collect();
        let mut host = shell.begin(&format!("control-plane-host --node-id plane-1{settings}"));
        host.address("diagnostics");
        shell.until("lifecyclectl leaders", "plane-1 *");
        let reads = "etcdctl --user plane-1 --password \"$(cat plane-1.password)\" get";
        let lease = shell.run(&format!("{reads} --prefix mesh/leadership/"));
        lease.ended(0).says("global-control");
        shell
            .run(&format!("{reads} other"))
            .says("permission denied");
        host.signal("INT");
        assert_eq!(host.exit(), Some(0));
    }
}
