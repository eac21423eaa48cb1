//! A collector of spans, made of a server that is not the exporter's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lifecycle_adapters::GrpcServer;
use lifecycle_adapters::tls::ServerTls;
use lifecycle_core::Registration;
use lifecycle_runtime::Orchestrator;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio_util::sync::CancellationToken;
use tonic::metadata::KeyAndValueRef;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, async_trait};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a collector does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Takes it.
    Taken,
    /// Takes it, but for so many spans.
    TakenBut(i64),
    /// Keeps it, and never answers.
    Never,
    /// Refuses it.
    Refused(Code),
}

/// A span as it came, with what was said of its process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for the first of a trace.
    pub(crate) parent: String,
    pub(crate) kind: i32,
    /// What went wrong, if anything did.
    pub(crate) error: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl Got {
    /// An attribute, or nothing.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// What has come so far.
#[derive(Debug, Default)]
struct Received {
    spans: Vec<Got>,
    headers: BTreeMap<String, String>,
    requests: usize,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    received: Mutex<Received>,
    changed: Condvar,
}

/// A collector on a free port of loopback; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    over: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    pub(crate) fn begin(answer: Answer) -> Self {
        Self::listen(None, SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    pub(crate) fn over_tls(tls: ServerTls) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::listen(Some(tls), anywhere, Answer::Taken)
    }

    /// One that listens where another one did.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::listen(None, address, Answer::Taken)
    }

    fn listen(tls: Option<ServerTls>, address: SocketAddr, answer: Answer) -> Self {
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            received: Mutex::default(),
            changed: Condvar::new(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let routes = Routes::new(TraceServiceServer::new(Service(Arc::clone(&shared))));
        let server = GrpcServer::new(routes).bind(address);
        let server = match tls {
            Some(tls) => server.tls(tls),
            None => server,
        };
        let over = CancellationToken::new();
        let (told, bound) = mpsc::channel();
        let thread = thread::spawn({
            let over = over.clone();
            move || serve(&Arc::new(server), &over, &told)
        });
        Self {
            address: bound.recv_timeout(DEADLINE).expect("it listens"),
            scheme,
            shared,
            over,
            thread: Some(thread),
        }
    }

    /// Where it is, for a configuration.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().expect("nobody panicked") = answer;
    }

    /// Everything that has come.
    pub(crate) fn spans(&self) -> Vec<Got> {
        let received = self.shared.received.lock().expect("nobody panicked");
        received.spans.clone()
    }

    /// The headers of the last request.
    pub(crate) fn headers(&self) -> BTreeMap<String, String> {
        let received = self.shared.received.lock().expect("nobody panicked");
        received.headers.clone()
    }

    /// Waits until so many requests have come.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) {
        self.wait(|it| it.requests >= count);
    }

    /// Waits until what has come is as `wanted`.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        self.wait(|it| wanted(&it.spans));
        self.spans()
    }

    #[track_caller]
    fn wait(&self, wanted: impl Fn(&Received) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut received = self.shared.received.lock().expect("nobody panicked");
        while !wanted(&received) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never came: {received:#?}");
            let waited = self.shared.changed.wait_timeout(received, left);
            received = waited.expect("nobody panicked").0;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.over.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(server: &Arc<GrpcServer>, over: &CancellationToken, told: &mpsc::Sender<SocketAddr>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut builder = Orchestrator::builder();
        builder.register(Registration::new("collector", Arc::clone(server)));
        let handle = builder.build().expect("one component").spawn();
        handle.start().await.expect("the port is free");
        let address = server.local_addr().expect("it listens");
        told.send(address).expect("the test waits");
        over.cancelled().await;
        // Connections are cut with the runtime: a collector that dies does not take leave.
    });
}

struct Service(Arc<Shared>);

#[async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let answer = *self.0.answer.lock().expect("nobody panicked");
        self.take(&request, answer);
        match answer {
            Answer::Taken => Ok(Response::new(ExportTraceServiceResponse::default())),
            Answer::TakenBut(rejected_spans) => Ok(Response::new(ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message: "they are too old".to_owned(),
                }),
            })),
            Answer::Never => std::future::pending().await,
            Answer::Refused(code) => Err(Status::new(code, "go away")),
        }
    }
}

impl Service {
    fn take(&self, request: &Request<ExportTraceServiceRequest>, answer: Answer) {
        let mut received = self.0.received.lock().expect("nobody panicked");
        received.requests += 1;
        received.headers = request
            .metadata()
            .iter()
            .filter_map(|it| match it {
                KeyAndValueRef::Ascii(key, value) => {
                    Some((key.to_string(), value.to_str().ok()?.to_owned()))
                }
                KeyAndValueRef::Binary(..) => None,
            })
            .collect();
        if matches!(answer, Answer::Taken | Answer::TakenBut(_)) {
            received.spans.extend(spans(request.get_ref()));
        }
        self.0.changed.notify_all();
    }
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Got> {
    let mut all = Vec::new();
    for of_resource in &request.resource_spans {
        let resource = of_resource.resource.as_ref().expect("a resource");
        let resource = attributes(&resource.attributes);
        for of_scope in &of_resource.scope_spans {
            let scope = &of_scope.scope.as_ref().expect("a scope").name;
            let spans = of_scope.spans.iter();
            all.extend(spans.map(|span| got(span, scope, &resource)));
        }
    }
    all
}

fn got(span: &Span, scope: &str, resource: &BTreeMap<String, String>) -> Got {
    let hexadecimal = |id: &[u8]| -> String { id.iter().map(|it| format!("{it:02x}")).collect() };
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    let status = span.status.as_ref().filter(|it| it.code == 2);
    Got {
        name: span.name.clone(),
        scope: scope.to_owned(),
        trace: hexadecimal(&span.trace_id),
        id: hexadecimal(&span.span_id),
        parent: hexadecimal(&span.parent_span_id),
        kind: span.kind,
        error: status.map(|it| it.message.clone()),
        attributes: attributes(&span.attributes),
        resource: resource.clone(),
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |it: &KeyValue| {
        let value = it.value.as_ref().and_then(|it| it.value.as_ref());
        let text = match value.expect("a value") {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::DoubleValue(number) => number.to_string(),
            any_value::Value::BoolValue(flag) => flag.to_string(),
            other => panic!("{other:?} is not sent"),
        };
        (it.key.clone(), text)
    };
    all.iter().map(text).collect()
}
