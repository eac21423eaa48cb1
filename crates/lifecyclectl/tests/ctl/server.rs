//! A host that says what a test tells it to, over plain HTTP/1.1.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What a host's clock says in every answer.
const DATE: &str = "Sat, 28 Nov 2026 06:50:12 GMT";

/// What a client has sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What a host answers.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    media_type: &'static str,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text(String),
    /// Pieces as they come; the connection ends with the sender.
    Pieces(Receiver<String>),
    /// Says that there is more than comes.
    Cut,
    /// Nothing, until the client goes.
    Silence,
}

impl Reply {
    fn new(status: u16, media_type: &'static str, body: Body) -> Self {
        Self {
            status,
            media_type,
            body,
        }
    }

    pub(crate) fn ok(document: &Value) -> Self {
        Self::json(200, document)
    }

    pub(crate) fn json(status: u16, document: &Value) -> Self {
        let body = Body::Text(document.to_string());
        Self::new(status, "application/json", body)
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::new(200, "text/plain", Body::Text(text.to_owned()))
    }

    pub(crate) fn problem(status: u16, title: &str, detail: &str) -> Self {
        let document =
            json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
        let body = Body::Text(document.to_string());
        Self::new(status, "application/problem+json", body)
    }

    pub(crate) fn cut() -> Self {
        Self::new(200, "application/json", Body::Cut)
    }

    pub(crate) fn silence() -> Self {
        Self::new(200, "application/json", Body::Silence)
    }

    /// A stream of events with what sends its pieces.
    pub(crate) fn stream() -> (Sender<String>, Self) {
        let (sender, pieces) = channel();
        let body = Body::Pieces(pieces);
        (sender, Self::new(200, "text/event-stream", body))
    }

    /// A stream of events that ends.
    pub(crate) fn events(text: &str) -> Self {
        Self::new(200, "text/event-stream", Body::Text(text.to_owned()))
    }
}

type Handler = Box<dyn FnMut(&Request) -> Reply + Send>;

/// What a host answers, and what it was asked.
#[derive(Default)]
struct Shared {
    handlers: Mutex<BTreeMap<String, Handler>>,
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
}

/// A host that says what a test tells it to.
pub(crate) struct Server {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        // It ends with the process of the test.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(connection));
            }
        });
        Self { shared, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers requests of a method and path, such as `GET /readyz`, by `handler`.
    pub(crate) fn on(&self, line: &str, handler: impl FnMut(&Request) -> Reply + Send + 'static) {
        let mut handlers = self.shared.handlers.lock().unwrap();
        handlers.insert(line.to_owned(), Box::new(handler));
    }

    /// Answers with one document after another, and then with the last one.
    pub(crate) fn gives(&self, line: &str, documents: impl IntoIterator<Item = Value>) {
        let mut documents: VecDeque<_> = documents.into_iter().collect();
        self.on(line, move |_| {
            let document = match documents.len() {
                1 => documents[0].clone(),
                _ => documents.pop_front().unwrap(),
            };
            Reply::ok(&document)
        });
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Methods and paths, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|it| it.line).collect()
    }

    /// Waits until `count` requests of a method and path have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, line: &str, count: usize) {
        let requests = self.shared.requests.lock().unwrap();
        let missing =
            |it: &mut Vec<Request>| it.iter().filter(|it| it.line == line).count() < count;
        let arrived = &self.shared.arrived;
        let waited = arrived.wait_timeout_while(requests, DEADLINE, missing);
        let waited = waited.unwrap().1;
        assert!(!waited.timed_out(), "{line} did not come");
    }
}

impl Shared {
    fn serve(&self, mut connection: TcpStream) {
        let Some(request) = read(&connection) else {
            return;
        };
        let mut handlers = self.handlers.lock().unwrap();
        let reply = match handlers.get_mut(&request.line) {
            Some(handler) => handler(&request),
            None => Reply::problem(
                404,
                "Not Found",
                &format!("there is nothing at {}", request.line),
            ),
        };
        drop(handlers);
        self.requests.lock().unwrap().push(request);
        self.arrived.notify_all();
        // Whoever has gone does not want the answer.
        let _ = write(&mut connection, reply);
    }
}

fn read(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let (line, headers) = lines.split_first()?;
    let headers = headers.iter().filter_map(|it| it.split_once(':'));
    let headers: BTreeMap<_, _> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

fn write(connection: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {} Status\r\ndate: {DATE}\r\nconnection: close\r\ncontent-type: {}\r\n",
        reply.status, reply.media_type
    );
    match reply.body {
        Body::Text(text) => {
            let length = text.len();
            write!(connection, "{head}content-length: {length}\r\n\r\n{text}")
        }
        Body::Cut => write!(connection, "{head}content-length: 100\r\n\r\n{{"),
        Body::Silence => connection.read_to_end(&mut Vec::new()).map(drop),
        Body::Pieces(pieces) => {
            write!(connection, "{head}\r\n")?;
            pieces
                .iter()
                .try_for_each(|it| connection.write_all(it.as_bytes()))
        }
    }
}
