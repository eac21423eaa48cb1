//! An etcd that does not let everybody in: certificates, users with passwords, and what is told when one of them is wrong.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use mesh::leadership::{
    EtcdError, EtcdOptions, EtcdStore, LeaseError, LeaseStore, Notice, Password,
};
use tempfile::TempDir;

use crate::certificates::{Authority, Issued, write};
use crate::etcd::claim;
use crate::etcd_server::{Etcd, Guard};
use crate::kit::{Ledger, Node, global, within};
use crate::metrics::Series;

/// What etcd says, where it does not do what it is asked for.
async fn refusal(store: &EtcdStore) -> EtcdError {
    let answer = within(store.acquire(&claim("a"))).await;
    let Err(LeaseError::Unavailable(source)) = answer else {
        panic!("{answer:?}");
    };
    let source = source.downcast::<EtcdError>();
    *source.expect("etcd's errors have a type")
}

/// An etcd that lets in who has a certificate of `authority`.
fn encrypted(authority: &Authority, folder: &Path) -> Etcd {
    let own = folder.join("own");
    fs::create_dir(&own).expect("a folder");
    // To its gateway it is a client of itself.
    let (certificate, key) = authority.server().write(&own);
    let ca = write(&own, "ca.pem", &authority.pem);
    let files = [("--cert-file", &certificate), ("--key-file", &key)];
    let files = files.into_iter().chain([("--trusted-ca-file", &ca)]);
    let files = files.flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()]);
    let shown = shown(authority, &authority.client("plane"), folder);
    Etcd::guarded(
        1,
        Guard {
            arguments: files.chain(["--client-cert-auth".to_owned()]).collect(),
            tls: Some(shown),
            root: None,
        },
    )
}

/// Puts in place what a node shows.
fn shown(trusted: &Authority, issued: &Issued, folder: &Path) -> [PathBuf; 3] {
    let (certificate, key) = issued.write(folder);
    [write(folder, "ca.pem", &trusted.pem), certificate, key]
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for files")
}

#[tokio::test]
async fn etcd_over_tls_takes_the_right_certificate_and_each_wrong_one_is_told_with_its_remedy() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let place = folder();
    let etcd = encrypted(&ours, place.path());
    let lease = etcd.store().acquire(&claim("a")).await.expect("let in");
    for _ in 0..3 {
        etcd.store().renew(&lease).await.expect("let in");
    }
    let options = etcd.options();
    let refused = async |change: &dyn Fn(&mut EtcdOptions)| {
        let mut wrong = options.clone();
        change(&mut wrong);
        let store = EtcdStore::new(&wrong).expect("files that can be read");
        refusal(&store).await
    };

    let stranger = folder();
    let [ca, certificate, key] = shown(&other, &other.client("plane"), stranger.path());
    let untrusted = refused(&|it| it.ca = Some(ca.clone())).await;
    assert!(
        matches!(untrusted, EtcdError::Untrusted { .. }),
        "{untrusted}"
    );
    assert!(untrusted.to_string().contains("; see `ca`"), "{untrusted}");

    let foreign = refused(&|it| {
        (it.certificate, it.key) = (Some(certificate.clone()), Some(key.clone()));
    })
    .await;
    let missing = refused(&|it| (it.certificate, it.key) = (None, None)).await;
    for refused in [foreign, missing] {
        assert!(
            matches!(refused, EtcdError::CertificateRefused { .. }),
            "{refused}"
        );
        let remedy = "see `certificate` and `key`";
        assert!(refused.to_string().contains(remedy), "{refused}");
    }
}

#[tokio::test]
async fn certificates_that_were_replaced_are_used_once_etcd_refuses_those_from_before() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (place, own) = (folder(), folder());
    let etcd = encrypted(&ours, place.path());
    let [ca, certificate, key] = shown(&ours, &other.client("plane"), own.path());
    let options = EtcdOptions {
        ca: Some(ca),
        certificate: Some(certificate),
        key: Some(key),
        ..etcd.options()
    };
    let store = EtcdStore::new(&options).expect("files that can be read");
    refusal(&store).await;
    shown(&ours, &ours.client("plane"), own.path());
    within(async { while store.acquire(&claim("a")).await.is_err() {} }).await;
}

const ROOT: &str = "root:0123456789abcdef";
const PASSWORD: &str = "correct-horse-battery-staple";

/// An etcd with the users `plane` and `stranger`, of which only the first may use our keys.
fn with_users(arguments: &[&str]) -> Etcd {
    let guard = Guard {
        arguments: ["--bcrypt-cost", "4"]
            .iter()
            .chain(arguments)
            .map(|it| (*it).to_owned())
            .collect(),
        ..Guard::default()
    };
    let mut etcd = Etcd::guarded(1, guard);
    let users = [
        (format!("plane:{PASSWORD}"), "mesh/leadership/"),
        (format!("stranger:{PASSWORD}"), "other/"),
    ];
    let users: Vec<_> = users.iter().map(|(it, prefix)| (&**it, *prefix)).collect();
    etcd.enable_users(ROOT, &users);
    etcd
}

fn as_user(options: EtcdOptions, user: &str, password: &str) -> EtcdOptions {
    EtcdOptions {
        user: Some(user.to_owned()),
        password: Password::new(password),
        ..options
    }
}

fn write_password(folder: &Path, text: &str) -> PathBuf {
    let path = write(folder, "password", text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    path
}

#[tokio::test]
async fn etcd_with_users_takes_the_right_password_and_each_wrong_login_is_told_with_its_remedy() {
    let etcd = with_users(&[]);
    let store = |options: EtcdOptions| EtcdStore::new(&options).expect("valid options");
    let plane = store(as_user(etcd.options(), "plane", PASSWORD));
    let lease = plane.acquire(&claim("a")).await.expect("let in");
    plane.renew(&lease).await.expect("let in");
    let seen = plane.get(&global()).await.expect("let in");
    assert_eq!(seen.map(|it| it.token), Some(lease.token));
    plane.release(&lease).await.expect("let in");

    let wrong = refusal(&store(as_user(etcd.options(), "plane", "wrong-horse"))).await;
    assert!(matches!(wrong, EtcdError::Login { .. }), "{wrong}");
    let told = wrong.to_string();
    assert!(told.contains("etcdctl user passwd plane"), "{told}");
    assert!(!told.contains("horse"), "{told}");

    let nobody = refusal(&etcd.store()).await;
    assert!(matches!(nobody, EtcdError::NoUser), "{nobody}");
    let stranger = refusal(&store(as_user(etcd.options(), "stranger", PASSWORD))).await;
    assert!(
        matches!(stranger, EtcdError::Forbidden { .. }),
        "{stranger}"
    );
    assert!(stranger.source().is_none());

    let open = Etcd::start(1);
    let needless = refusal(&store(as_user(open.options(), "plane", PASSWORD))).await;
    assert!(
        matches!(needless, EtcdError::NoAuthentication),
        "{needless}"
    );
}

/// What a node complains about, once it does.
async fn issue(node: &Node, wanted: &str) -> String {
    let complains = async {
        loop {
            let issue = node.observer.snapshot().leaders[0].issue.clone();
            if let Some(issue) = issue.filter(|it| it.contains(wanted)) {
                return issue;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(complains).await
}

#[tokio::test]
async fn a_node_with_a_wrong_password_says_so_leads_nothing_and_leads_once_it_is_mended() {
    let (etcd, place) = (with_users(&[]), folder());
    let options = EtcdOptions {
        user: Some("plane".to_owned()),
        password_file: Some(write_password(place.path(), "wrong-horse\n")),
        ..etcd.options()
    };
    let store = EtcdStore::new(&options).expect("valid options");
    let ledger = Ledger::default();
    let node = Node::start("a", store, &ledger).await;
    let mut events = node.observer.subscribe();
    let issue = issue(&node, "etcdctl user passwd plane").await;
    let snapshot = node.handle.snapshot().await.expect("it is driven");
    let id = snapshot.plan.find("mesh-leadership").expect("registered");
    let degraded = snapshot.component(id).degraded.as_deref();
    assert_eq!(degraded, Some(&*format!("global-control: {issue}")));
    // It tries again several times, and nothing happens to leadership.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(matches!(events.next().await, Some(Notice::Snapshot(_))));
    let quiet = tokio::time::timeout(Duration::ZERO, events.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    write_password(place.path(), PASSWORD);
    node.leads().await;
    node.handle.stop().await.expect("stops");
}

#[tokio::test]
async fn a_token_of_etcd_that_has_run_out_is_renewed_and_without_that_it_would_be_refused() {
    let etcd = with_users(&["--auth-token-ttl", "1"]);
    let store = EtcdStore::new(&as_user(etcd.options(), "plane", PASSWORD)).expect("valid");
    let lease = store.acquire(&claim("a")).await.expect("let in");
    // One that does not renew its token, for comparison.
    let options = ConnectOptions::new().with_user("plane", PASSWORD);
    let mut stale = Client::connect(etcd.endpoints(), Some(options))
        .await
        .expect("let in");
    let key = "mesh/leadership/leader/global-control";
    stale.get(key, None).await.expect("the token is new");
    for _ in 0..2 {
        // Longer than it lasts, and etcd looks once a second.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let refused = stale.get(key, None).await.expect_err("it has run out");
        assert!(refused.to_string().contains("invalid auth token"));
        store.renew(&lease).await.expect("it logs in again");
    }
    store.release(&lease).await.expect("given back");
}

#[tokio::test]
async fn a_leader_keeps_its_tenure_through_a_new_password_and_an_etcd_that_has_forgotten_its_tokens()
 {
    let (mut etcd, place) = (with_users(&["--auth-token-ttl", "1"]), folder());
    let options = EtcdOptions {
        user: Some("plane".to_owned()),
        password_file: Some(write_password(place.path(), PASSWORD)),
        ..etcd.options()
    };
    let store = EtcdStore::new(&options).expect("valid options");
    let ledger = Ledger::default();
    let node = Node::start("a", store, &ledger).await;
    let first = node.leads().await.token;
    // Its tokens end with the old password. The file comes after it, as it does with people.
    let root = ["--interactive=false", "user", "passwd", "plane"];
    let (done, said) = etcd.ask_with(&root, "another-horse\n");
    assert!(done, "{said}");
    write_password(place.path(), "another-horse");
    // Beyond the lease that it has: it was renewed since.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(node.leads().await.token, first);
    etcd.kill(0);
    etcd.launch(0);
    etcd.is_well();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(node.leads().await.token, first);
    node.handle.stop().await.expect("stops");
    assert_eq!(ledger.entries().len(), 1, "one tenure");
}

#[tokio::test(start_paused = true)]
async fn until_when_the_certificates_for_etcd_are_good_is_a_metric_that_follows_the_files() {
    let series = Series::default();
    let _guard = metrics::set_default_local_recorder(&series);
    let (ours, place) = (Authority::new("ours"), folder());
    let [ca, certificate, key] = shown(&ours, &ours.client_until("plane", 2040), place.path());
    let options = EtcdOptions {
        // Nobody listens there.
        endpoints: vec!["https://127.0.0.1:9".to_owned()],
        ca: Some(ca),
        certificate: Some(certificate),
        key: Some(key),
        ..EtcdOptions::default()
    };
    let store = EtcdStore::new(&options).expect("files that can be read");
    let end = |part: &str| {
        let labels = format!("{{component=mesh-leadership,part={part}}}");
        let end = series.gauge(&format!(
            "lifecycle_certificate_expiry_timestamp_seconds{labels}"
        ));
        end.expect("it is shown").to_string()
    };
    let tended = async |length| {
        let tended = tokio::time::timeout(length, store.tend()).await;
        tended.expect_err("it goes on for ever");
    };
    tended(Duration::from_millis(1)).await;
    assert_eq!(
        (&*end("certificate"), &*end("ca")),
        ("2208988800", "67090118400")
    );
    let replaced = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ours.client_until("plane", 2050).write(place.path());
    };
    tokio::join!(tended(Duration::from_secs(10 * 60)), replaced);
    assert_eq!(end("certificate"), "2524608000");
}
