//! Until when certificates are good.

use axum::Router;
use lifecycle_adapters::HttpServer;
use lifecycle_adapters::tls::{Alpn, Pem, ServerTls};
use lifecycle_core::{Lifecycle as _, StartContext};
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;

use super::{connector, trusting};
use crate::certificates::{Authority, write};
use crate::scope::TestScope;
use crate::support::{any_port, within};

/// When these years begin.
const IN_2040: &str = "2208988800";
const IN_2050: &str = "2524608000";
const IN_4096: &str = "67090118400";

const EXPIRY: &str = "lifecycle_certificate_expiry_timestamp_seconds";

#[tokio::test]
async fn a_server_shows_the_first_end_of_its_chain_and_the_last_of_its_cas_as_its_files_have_them()
{
    let recorder = PrometheusBuilder::new().build_recorder();
    let series = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (authority, folder) = (Authority::new("ours"), TempDir::new().unwrap());
    let (early, late) = (
        authority.client_until("early", 2040),
        authority.client_until("late", 2050),
    );
    let (early_pem, late_pem) = (early.certificate.pem(), late.certificate.pem());
    let (_, key) = late.write(folder.path());
    let certificate = write(
        folder.path(),
        "certificate.pem",
        &format!("{late_pem}{early_pem}"),
    );
    let ca = write(folder.path(), "ca.pem", &format!("{early_pem}{late_pem}"));
    let tls = ServerTls::new(Pem::file(certificate), Pem::file(key)).client_ca(Pem::file(ca));
    let server = HttpServer::new(Router::new()).bind(any_port()).tls(tls);
    let start = StartContext::new(TestScope::new() as _);
    server.start(&start).await.expect("it starts");
    let shown = |part: &str| {
        let text = series.render();
        let part = format!("part=\"{part}\"}} ");
        let mut ours = text.lines().filter(|it| it.starts_with(EXPIRY));
        let value = ours.find_map(|it| Some(it.split_once(&part)?.1.to_owned()));
        value.unwrap_or_else(|| panic!("{part} in {text}"))
    };
    assert_eq!((&*shown("certificate"), &*shown("ca")), (IN_2040, IN_2050));

    write(folder.path(), "certificate.pem", &late_pem);
    write(folder.path(), "ca.pem", &authority.pem);
    within(server.reload_tls()).await.expect("in order");
    assert_eq!((&*shown("certificate"), &*shown("ca")), (IN_2050, IN_4096));

    // What is not in order is not in use.
    write(folder.path(), "certificate.pem", "no certificate");
    within(server.reload_tls()).await.expect_err("broken");
    assert_eq!(shown("certificate"), IN_2050);
}

#[tokio::test]
async fn a_client_that_presents_nothing_has_no_end_of_that() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let series = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let authority = Authority::new("ours");
    connector(&trusting(&authority), Alpn::Http1).await;
    let text = series.render();
    let ours: Vec<_> = text.lines().filter(|it| it.starts_with(EXPIRY)).collect();
    let expected = format!("{EXPIRY}{{component=\"client\",part=\"ca\"}} {IN_4096}");
    assert_eq!(ours, [expected]);
}
