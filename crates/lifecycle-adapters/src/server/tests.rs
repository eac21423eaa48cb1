//! The accept loop against a system that refuses, which no test can make a real one do.

use std::collections::VecDeque;

use lifecycle_core::{Report, StartContext};

use super::*;
use scope::TestScope;

#[path = "../../tests/adapters/scope.rs"]
pub(crate) mod scope;

const EMFILE: i32 = 24;
const EBADF: i32 = 9;

/// Fails as it is told, then waits for ever.
struct Refusing(VecDeque<io::Error>);

impl Listen for Refusing {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.0.pop_front() {
            Some(error) => Err(error),
            None => std::future::pending().await,
        }
    }
}

/// Nobody connects to it.
struct Nothing;

impl Serve for Nothing {
    fn connection(
        &self,
        _: TcpStream,
        _: SocketAddr,
        _: Arc<Activity>,
        _: Arc<Terms>,
    ) -> lifecycle_core::BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn server<L: Listen>(listener: L, scope: &Arc<TestScope>) -> Server<L> {
    Server {
        listener,
        service: Arc::new(Nothing),
        terms: Arc::new(Terms {
            limits: Limits::default(),
            intake: Intake::new(),
            exempt: Arc::new(|_| false),
            port_stays: false,
            #[cfg(feature = "tls")]
            tls: None,
        }),
        complaints: Arc::new(Complaints::new(
            StartContext::new(Arc::clone(scope) as _).reporter(),
        )),
        run: CancellationToken::new(),
        cut: CancellationToken::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_port_ends_the_loop_with_its_error() {
    let scope = TestScope::new();
    let errors = [
        io::ErrorKind::ConnectionAborted.into(),
        io::Error::from_raw_os_error(EMFILE),
        io::Error::from_raw_os_error(EBADF),
    ];
    let broken = server(Refusing(errors.into()), &scope).serve().await;
    let error = broken.expect_err("nobody can connect any more");
    let error = error.downcast::<AcceptError>().expect("a typed error");
    assert_eq!(error.0.raw_os_error(), Some(EBADF));
}

/// Refuses twice, then accepts.
struct Recovering(VecDeque<io::Error>, TcpListener);

impl Listen for Recovering {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.0.pop_front() {
            Some(error) => Err(error),
            None => Listen::accept(&mut self.1).await,
        }
    }
}

#[tokio::test]
async fn a_system_that_refuses_is_asked_again_and_the_component_is_degraded_meanwhile() {
    let scope = TestScope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let error = || io::Error::from_raw_os_error(EMFILE);
    let server = server(Recovering([error(), error()].into(), listener), &scope);
    let run = server.run.clone();
    let serving = tokio::spawn(server.serve());
    let _client = TcpStream::connect(address).await.unwrap();
    scope.reported(Report::Degraded(None)).await;
    let reports = scope.reports();
    assert_eq!(reports.len(), 2, "it is said once: {reports:?}");
    assert!(matches!(&reports[0], Report::Degraded(Some(it)) if it.contains("accepted")));
    run.cancel();
    serving.await.unwrap().expect("it ends as it was asked to");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_finishes_is_given_up_only_when_it_has_nothing_to_do() {
    let activity = Activity::default();
    let given_up = async |limit| {
        let lingered = tokio::time::timeout(limit, activity.lingered());
        lingered.await.is_ok()
    };
    let long = Duration::from_secs(600);
    activity.request_begun();
    assert!(!given_up(long).await, "a request is in flight");
    activity.request_ended();
    activity.set_sending(true);
    assert!(!given_up(long).await, "its client is slow to read");
    activity.set_sending(false);
    assert!(!given_up(LINGER / 2).await, "it may still end by itself");
    assert!(given_up(LINGER * 2).await);
}
