//! The peers' output topics: made afresh before each run, so that what is counted afterwards is that run's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::setting::PARTITIONS;

/// Where the peers write alerts.
pub(crate) const ALERTS: &str = "alerts";
/// Topics that the peers write.
const PEER_TOPICS: [&str; 3] = [ALERTS, "dlq", "forecasts"];
/// How the names of topics begin that Kafka Streams makes for itself.
const INTERNAL: &str = "kscity-";
/// How long a deleted topic may stay known.
const GONE_MAX: Duration = Duration::from_secs(30);

/// Deletes what earlier runs have written, and makes the peers' topics.
pub(crate) fn reset(brokers: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let options = AdminOptions::new().operation_timeout(Some(GONE_MAX));
    let stale = |name: &str| PEER_TOPICS.contains(&name) || name.starts_with(INTERNAL);
    let old: Vec<String> = names(&admin)?.into_iter().filter(|name| stale(name)).collect();
    if !old.is_empty() {
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        for outcome in block_on(admin.delete_topics(&old, &options))? {
            outcome.map_err(|(topic, error)| anyhow::anyhow!("cannot delete `{topic}`: {error}"))?;
        }
    }
    let started = std::time::Instant::now();
    while names(&admin)?.iter().any(|name| stale(name)) {
        ensure!(started.elapsed() < GONE_MAX, "deleted topics are still there after {} s", GONE_MAX.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
    let fresh = PEER_TOPICS.map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    for outcome in block_on(admin.create_topics(&fresh, &options))? {
        outcome.map_err(|(topic, error)| anyhow::anyhow!("cannot create `{topic}`: {error}"))?;
    }
    Ok(())
}

fn names(admin: &AdminClient<DefaultClientContext>) -> Result<Vec<String>> {
    let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).context("the broker does not answer")?;
    Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
}
