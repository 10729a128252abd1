//! How verbs without a pipeline reach brokers.

use std::sync::Arc;

use anyhow::Result;
use arterial_connectors::kafka::{Brokers, KafkaConnection, Properties};

use crate::runtime::Wiring;
use crate::spec::PipelinePlan;

/// As the pipeline `like` does, else to `brokers` without login. `verb`: what the brokers' logs call the client.
///
/// # Errors
/// A pipeline that is not on Kafka, or whose secrets are not there.
pub(super) fn of(like: Option<&Arc<PipelinePlan>>, brokers: &str, verb: &str) -> Result<KafkaConnection> {
    let Some(like) = like else {
        let client_id = format!("arterial.{verb}");
        let brokers = Brokers::List(brokers.to_owned());
        return Ok(KafkaConnection { brokers, client_id, properties: Properties::default() });
    };
    // What begins with the pipeline's name it may use.
    let client_id = format!("arterial.{}.{verb}", like.name);
    Ok(KafkaConnection { client_id, ..Wiring::detached(like).source_connection()? })
}
