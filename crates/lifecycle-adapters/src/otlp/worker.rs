//! [`Worker`]: takes spans from the queue and sends them, on the exporter's thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::account::{self, Account, Outcome};
use super::batch;
use super::finished::{Finished, describe_lifecycle};
use super::link::{Link, Receipt, is_passing};
use super::settings::{Describe, Settings};

/// How long to wait after the first attempt that failed, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// For how long a batch is sent again before it is given up: those that come behind it are more telling by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where spans wait to be sent.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Finished>,
    account: Arc<Account>,
}

impl Queue {
    /// Queues a span, or counts it as lost. Never waits.
    pub(super) fn push(&self, span: Finished) {
        // Before the worker can say what became of it.
        self.account.queued();
        if self.sender.try_send(span).is_err() {
            self.account.ended(Outcome::QueueFull, 1);
        }
    }
}

/// What sends spans.
pub(super) struct Worker {
    queue: mpsc::Receiver<Finished>,
    account: Arc<Account>,
    resource: Resource,
    describe: Option<Describe>,
    batch: usize,
    delay: Duration,
    ending: CancellationToken,
}

impl Worker {
    /// A worker and its queue. When `ending` is cancelled, it sends what is left and ends.
    pub(super) fn new(
        settings: &Settings,
        account: Arc<Account>,
        ending: CancellationToken,
    ) -> (Queue, Self) {
        let (sender, queue) = mpsc::channel(settings.queue.max(1));
        let worker = Self {
            queue,
            account: Arc::clone(&account),
            resource: batch::resource(&settings.resource),
            describe: settings.describe,
            batch: settings.batch.max(1),
            delay: settings.delay,
            ending,
        };
        (Queue { sender, account }, worker)
    }

    /// Sends spans over `link` until there are no more.
    pub(super) async fn run(mut self, mut link: Link) {
        let account = Arc::clone(&self.account);
        tokio::select! {
            () = self.send_all(&mut link) => {}
            () = publish(&account) => {}
        }
        account.publish();
    }

    async fn send_all(&mut self, link: &mut Link) {
        loop {
            let spans = self.gather().await;
            if spans.is_empty() {
                return;
            }
            let count = spans.len() as u64;
            let request = self.request(spans);
            self.deliver(link, request, count).await;
        }
    }

    /// Waits for a batch to be full, or old enough; it is empty when there are no more.
    async fn gather(&mut self) -> Vec<Finished> {
        let mut spans = Vec::new();
        let ending = self.ending.clone();
        tokio::select! {
            biased;
            _ = self.queue.recv_many(&mut spans, self.batch) => {}
            () = ending.cancelled() => return spans,
        }
        let fill = async {
            while spans.len() < self.batch {
                let room = self.batch - spans.len();
                self.queue.recv_many(&mut spans, room).await;
            }
        };
        tokio::select! {
            // What is there is taken before anybody looks at the time.
            biased;
            () = fill => {}
            () = time::sleep(self.delay) => {}
            () = ending.cancelled() => {}
        }
        spans
    }

    fn request(&self, mut spans: Vec<Finished>) -> ExportTraceServiceRequest {
        for span in &mut spans {
            describe_lifecycle(span);
            if let Some(describe) = self.describe {
                describe(span);
            }
        }
        batch::request(self.resource.clone(), spans)
    }

    /// Sends a batch, again and again while that may help. At the end of the host it is tried once.
    async fn deliver(&self, link: &mut Link, request: ExportTraceServiceRequest, count: u64) {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let status = match link.send(request.clone()).await {
                Ok(receipt) => return self.delivered(&receipt, count),
                Err(status) => status,
            };
            let error = format!("{:?}: {}", status.code(), status.message());
            if !is_passing(&status) {
                self.account.ended(Outcome::Refused, count);
                return self.account.went_wrong(&error);
            }
            if self.ending.is_cancelled() || begun.elapsed() >= PATIENCE {
                self.account.ended(Outcome::Undelivered, count);
                return self.account.went_wrong(&error);
            }
            self.account.went_wrong(&error);
            let slept = time::sleep(pause);
            let _ = self.ending.run_until_cancelled(slept).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn delivered(&self, receipt: &Receipt, count: u64) {
        let rejected = receipt.rejected.min(count);
        self.account.ended(Outcome::Sent, count - rejected);
        if rejected == 0 {
            return self.account.went_well();
        }
        self.account.ended(Outcome::Refused, rejected);
        self.account.went_wrong(&receipt.why);
    }
}

/// Tells what was counted, for as long as it is polled.
async fn publish(account: &Account) {
    let mut ticks = time::interval(account::PERIOD);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        account.publish();
    }
}
