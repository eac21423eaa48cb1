//! [`Meters`]: what an inbound counts of its requests, whatever becomes of the calls in them.
//!
//! Every label is one of a few that are written down here, so that no client makes a series.

use std::sync::{Arc, OnceLock};

use http::{StatusCode, Version};
use metrics::{Counter, Histogram, Unit};
use tokio::time::Instant;

use crate::code::Code;
use crate::shape::Shape;

const STARTED: &str = "omnirelay_http_requests_started_total";
const COMPLETED: &str = "omnirelay_http_requests_completed_total";
const DURATION: &str = "omnirelay_http_request_duration_seconds";
const MESSAGES: &str = "omnirelay_http_server_stream_response_messages_total";

const PROTOCOLS: [&str; 3] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2"];

/// What a request asks for: a shape of calls over HTTP, or nothing that could be read.
const SHAPES: [&str; 4] = ["unary", "oneway", "stream", "none"];

/// The statuses that an inbound answers with, and one for whatever else there may be.
const STATUSES: [&str; 16] = [
    "200", "202", "400", "403", "404", "405", "406", "409", "412", "429", "499", "500", "501",
    "503", "504", "other",
];

/// The series of an inbound, each made when it first occurs.
#[derive(Debug, Default)]
pub(super) struct Meters {
    started: [OnceLock<Counter>; PROTOCOLS.len()],
    completed: [[[OnceLock<Counter>; STATUSES.len()]; SHAPES.len()]; PROTOCOLS.len()],
    durations: [[OnceLock<Histogram>; SHAPES.len()]; PROTOCOLS.len()],
    messages: OnceLock<Counter>,
}

/// One request, from its head to the end of its answer. It has ended when this is dropped.
pub(super) struct Exchange {
    meters: Arc<Meters>,
    begun: Instant,
    protocol: usize,
    shape: usize,
    /// `None` as long as there is no answer: who goes away first has not waited for one.
    status: Option<StatusCode>,
}

impl Meters {
    /// Counts that a request has started.
    pub(super) fn started(self: &Arc<Self>, version: Version) -> Exchange {
        let protocol = place(&PROTOCOLS, protocol(version));
        let counter = self.started[protocol].get_or_init(|| {
            describe();
            metrics::counter!(STARTED, "protocol" => PROTOCOLS[protocol])
        });
        counter.increment(1);
        Exchange {
            meters: Arc::clone(self),
            begun: Instant::now(),
            protocol,
            shape: SHAPES.len() - 1,
            status: None,
        }
    }
}

impl Exchange {
    /// Says what is asked for.
    pub(super) fn asks_for(&mut self, shape: Shape) {
        self.shape = place(&SHAPES, shape.as_str());
    }

    /// Says what is answered, of which more may come.
    pub(super) fn is_answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Counts a message of a stream.
    pub(super) fn message(&self) {
        let counter = || metrics::counter!(MESSAGES);
        self.meters.messages.get_or_init(counter).increment(1);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let cancelled = || StatusCode::from_u16(Code::Cancelled.http_status());
        let status = self.status.or_else(|| cancelled().ok());
        let status = status.map_or(STATUSES.len() - 1, |it| place(&STATUSES, it.as_str()));
        let (protocol, shape) = (self.protocol, self.shape);
        let completed = self.meters.completed[protocol][shape][status].get_or_init(|| {
            let (protocol, shape) = (PROTOCOLS[protocol], SHAPES[shape]);
            let status = STATUSES[status];
            metrics::counter!(COMPLETED, "protocol" => protocol, "shape" => shape, "status" => status)
        });
        completed.increment(1);
        let duration = self.meters.durations[protocol][shape].get_or_init(|| {
            let (protocol, shape) = (PROTOCOLS[protocol], SHAPES[shape]);
            metrics::histogram!(DURATION, "protocol" => protocol, "shape" => shape)
        });
        duration.record(self.begun.elapsed().as_secs_f64());
    }
}

/// The name of a version, as answers have it.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// Where `label` is; what is not there counts as the last one.
fn place(labels: &[&str], label: &str) -> usize {
    let found = labels.iter().position(|it| *it == label);
    found.unwrap_or(labels.len() - 1)
}

fn describe() {
    use metrics::{describe_counter, describe_histogram};
    describe_counter!(STARTED, "Requests over HTTP that have come in, but probes.");
    describe_counter!(
        COMPLETED,
        "Requests over HTTP that have ended, by the status of their answer; 499 is a client that went away before."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "How long requests over HTTP have lasted, streams to their end."
    );
    describe_counter!(
        MESSAGES,
        "Messages of server streams that were sent over HTTP."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_a_code_has_is_one_of_the_labels() {
        for code in Code::ALL {
            let status = code.http_status().to_string();
            assert!(STATUSES.contains(&&*status), "{code}");
        }
        assert_eq!(place(&STATUSES, "418"), STATUSES.len() - 1);
        for shape in ["unary", "oneway", "stream"] {
            assert!(Shape::ALL.iter().any(|it| it.as_str() == shape));
        }
    }
}
