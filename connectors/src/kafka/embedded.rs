//! `brokers: embedded`: librdkafka's in-process cluster behind a handle that may be cloned and sent.
//!
//! For demos and tests without an installation, at least once only: it shows uncommitted records to everybody, does
//! not fence, keeps about 5 MB per partition and silently drops what is older.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;

use crate::ledger::LedgerError;

/// An in-process broker. It ends when its last handle is dropped.
#[derive(Clone)]
pub struct EmbeddedBroker {
    inner: Arc<Inner>,
}

struct Inner {
    brokers: String,
    // The cluster lives on a thread of its own: its handle is a raw pointer that must not change threads.
    requests: std::sync::Mutex<Sender<CreateRequest>>,
}

struct CreateRequest {
    topic: String,
    partitions: i32,
    reply: Sender<KafkaResult<()>>,
}

impl EmbeddedBroker {
    /// Starts a cluster of one broker on a free port of the loopback interface.
    ///
    /// # Errors
    /// [`LedgerError::Client`] where librdkafka cannot open its listener.
    pub fn start() -> Result<Self, LedgerError> {
        let (requests, incoming) = channel();
        let (started, address) = channel();
        std::thread::Builder::new()
            .name("kafka-embedded".to_owned())
            .spawn(move || serve(&started, &incoming))
            .map_err(|error| failed(&error))?;
        let brokers = address.recv().map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        Ok(Self { inner: Arc::new(Inner { brokers, requests: std::sync::Mutex::new(requests) }) })
    }

    /// The address as `host:port`.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.inner.brokers
    }

    /// Creates a topic; one that exists already is left alone.
    ///
    /// # Errors
    /// [`LedgerError::Topic`] names the topic.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), LedgerError> {
        let problem = |reason: String| LedgerError::Topic { topic: topic.to_owned(), reason };
        let (reply, answer) = channel();
        let partitions = i32::try_from(partitions).map_err(|error| problem(error.to_string()))?;
        let request = CreateRequest { topic: topic.to_owned(), partitions, reply };
        let sent = match self.inner.requests.lock() {
            Ok(requests) => requests.send(request).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        sent.map_err(problem)?;
        match answer.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error))
                if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists) =>
            {
                Ok(())
            }
            Ok(Err(error)) => Err(problem(error.to_string())),
            Err(error) => Err(problem(error.to_string())),
        }
    }
}

fn serve(started: &Sender<KafkaResult<String>>, incoming: &Receiver<CreateRequest>) {
    let cluster = match MockCluster::new(1) {
        Ok(cluster) => cluster,
        Err(error) => {
            // Nobody waits only where the starter is gone.
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(cluster.bootstrap_servers())).is_err() {
        return;
    }
    // Ends when the last handle, and with it the sender, is dropped.
    while let Ok(request) = incoming.recv() {
        let outcome = cluster.create_topic(&request.topic, request.partitions, 1);
        let _ = request.reply.send(outcome);
    }
}

fn failed(error: &impl fmt::Display) -> LedgerError {
    LedgerError::Client { operation: "starting the embedded broker", reason: error.to_string(), transient: false }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EmbeddedBroker({})", self.inner.brokers)
    }
}
