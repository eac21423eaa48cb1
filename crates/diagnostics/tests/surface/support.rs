//! An orchestrator with diagnostics, and a client that speaks plain HTTP/1.1 over a socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diagnostics::{Diagnostics, DiagnosticsBuilder};
use lifecycle_core::{
    BoxError, Component, Defaults, DrainContext, HealthCheck, Lifecycle, Nanos, Registration,
    Retry, StartContext, StopContext, component,
};
use lifecycle_runtime::{Handle, Orchestrator};
use serde_json::Value;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Semaphore, watch};

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// An orchestrator that is driven, not started.
pub(crate) struct Rig {
    pub(crate) runtime: Runtime,
    pub(crate) handle: Handle,
    pub(crate) diagnostics: Diagnostics,
}

impl Rig {
    pub(crate) fn of(registrations: Vec<Registration>) -> Self {
        Self::with(registrations, |it| it)
    }

    pub(crate) fn with(
        registrations: Vec<Registration>,
        configure: impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder,
    ) -> Self {
        Self::built(registrations, Defaults::default(), configure)
    }

    /// Diagnostics alone, with little time for each call.
    pub(crate) fn limited(
        configure: impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder,
    ) -> Self {
        let limit = Nanos::from_millis(200);
        let defaults = Defaults {
            start: Retry::none().with_attempt_timeout(limit),
            stop: Retry::none().with_attempt_timeout(limit),
            dispose_timeout: limit,
            ..Defaults::default()
        };
        Self::built(Vec::new(), defaults, configure)
    }

    /// Diagnostics alone, asked for their health.
    pub(crate) fn checked(
        check: HealthCheck,
        configure: impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder,
    ) -> Self {
        Self::of_parts(Vec::new(), Defaults::default(), Some(check), configure)
    }

    fn built(
        registrations: Vec<Registration>,
        defaults: Defaults,
        configure: impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder,
    ) -> Self {
        Self::of_parts(registrations, defaults, None, configure)
    }

    fn of_parts(
        registrations: Vec<Registration>,
        defaults: Defaults,
        check: Option<HealthCheck>,
        configure: impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder,
    ) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut builder = Orchestrator::builder();
        let any_port = "127.0.0.1:0".parse().unwrap();
        let diagnostics = Diagnostics::builder(builder.handle()).bind(any_port);
        let diagnostics = configure(diagnostics).build();
        let mut registration = diagnostics.registration();
        registration.health_check = check;
        builder.register(registration);
        builder.defaults(defaults).registrations(registrations);
        let entered = runtime.enter();
        let handle = builder.build().unwrap().spawn();
        drop(entered);
        Self {
            runtime,
            handle,
            diagnostics,
        }
    }

    /// Runs `future` to its end.
    #[track_caller]
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        let limited = async { tokio::time::timeout(DEADLINE, future).await };
        self.runtime.block_on(limited).expect("within the deadline")
    }

    #[track_caller]
    pub(crate) fn start(&self) -> SocketAddr {
        self.run(self.handle.start()).expect("the start succeeds");
        self.address()
    }

    #[track_caller]
    pub(crate) fn stop(&self) {
        self.run(self.handle.stop()).expect("the stop is clean");
    }

    /// The address, once there is one.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        let mut address = self.diagnostics.address();
        let bound = self.run(async { *address.wait_for(Option::is_some).await.unwrap() });
        bound.expect("waited for")
    }
}

/// A component that does nothing.
pub(crate) fn idle() -> Component {
    component::from_fn(async |_| Ok(()), async |_| Ok(()))
}

/// A component whose start fails every time.
pub(crate) fn failing() -> Component {
    component::from_fn(
        async |_| Err::<(), BoxError>("no route to the pool".into()),
        async |_| Ok(()),
    )
}

/// Holds a component's start and stop until they are let through.
#[derive(Clone)]
pub(crate) struct Gate {
    start: Arc<Semaphore>,
    stop: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self {
            start: closed(),
            stop: closed(),
        }
    }

    pub(crate) fn let_start(&self) {
        self.start.add_permits(1);
    }

    pub(crate) fn let_stop(&self) {
        self.stop.add_permits(1);
    }

    pub(crate) fn component(&self) -> Component {
        let (start, stop) = (Arc::clone(&self.start), Arc::clone(&self.stop));
        let through = async |gate: Arc<Semaphore>| {
            gate.acquire().await?.forget();
            Ok(())
        };
        component::from_fn(
            move |_| through(Arc::clone(&start)),
            move |_| through(Arc::clone(&stop)),
        )
    }
}

/// A participant with as much in flight as it is told.
pub(crate) struct Inbound {
    in_flight: watch::Receiver<u64>,
    /// Whether a drain that is cancelled is a success: what is in flight is given up then.
    yields: bool,
}

impl Inbound {
    pub(crate) fn yielding(in_flight: watch::Receiver<u64>) -> Self {
        Self {
            in_flight,
            yields: true,
        }
    }

    pub(crate) fn failing_when_cancelled(in_flight: watch::Receiver<u64>) -> Self {
        Self {
            in_flight,
            yields: false,
        }
    }
}

impl Lifecycle for Inbound {
    const DRAINS: bool = true;
    const DISPOSES: bool = false;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drain(&self, cx: &DrainContext) -> Result<(), BoxError> {
        let mut in_flight = self.in_flight.clone();
        loop {
            let open = *in_flight.borrow_and_update();
            cx.in_flight(open);
            cx.progress(format!("{open} calls"));
            if open == 0 {
                return Ok(());
            }
            tokio::select! {
                changed = in_flight.changed() => changed?,
                () = cx.cancelled() => return match self.yields {
                    true => Ok(()),
                    false => Err("given up".into()),
                },
            }
        }
    }
}

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status line");
        Self {
            status: status.parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|it| it.split_once(": "));
        let named = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }

    /// The issues of a probe's body.
    pub(crate) fn issues(&self) -> Vec<String> {
        let body = self.json();
        let issues = body["issues"].as_array().cloned().unwrap_or_default();
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        issues.iter().map(text).collect()
    }
}

#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is open");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends `head` (without the blank line) and reads until the server closes.
#[track_caller]
pub(crate) fn send(address: SocketAddr, head: &str) -> Answer {
    let mut stream = connect(address);
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
    receive(&mut stream)
}

#[track_caller]
pub(crate) fn receive(stream: &mut TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    Answer::parse(&text)
}

#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}"))
}

/// Sends a request with a body, if there is one, and further lines of its head.
#[track_caller]
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    further: &[&str],
    body: Option<&str>,
) -> Answer {
    let mut stream = connect(address);
    stream
        .write_all(request(address, method, path, further, body).as_bytes())
        .unwrap();
    receive(&mut stream)
}

/// A request as it is on the wire; `Host` and the type of the body are there unless `further` has them.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    further: &[&str],
    body: Option<&str>,
) -> String {
    let has = |name: &str| further.iter().any(|it| it.starts_with(name));
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !has("Host:") {
        head += &format!("Host: {address}\r\n");
    }
    for line in further {
        head += &format!("{line}\r\n");
    }
    if let Some(body) = body {
        if !has("Content-Type:") {
            head += "Content-Type: application/json\r\n";
        }
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    format!("{head}\r\n{}", body.unwrap_or(""))
}

/// Posts `body`, or nothing when it is empty.
#[track_caller]
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    ask(
        address,
        "POST",
        path,
        &[],
        Some(body).filter(|it| !it.is_empty()),
    )
}

/// Asks again and again until the answer is as wanted.
#[track_caller]
pub(crate) fn get_until(
    address: SocketAddr,
    path: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let begin = Instant::now();
    loop {
        let answer = get(address, path);
        if wanted(&answer) {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "in vain: {answer:?}");
        std::thread::yield_now();
    }
}

#[track_caller]
pub(crate) fn assert_closed(address: SocketAddr) {
    let error = TcpStream::connect_timeout(&address, DEADLINE).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    TcpListener::bind(address).expect("the port is free");
}
