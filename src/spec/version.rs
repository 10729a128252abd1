//! What a pipeline computes -> its version, which dead letters carry out of the house.

use super::model::PipelineSpec;
use crate::vocab::to_json;

/// Hex digits of a version.
const DIGITS: usize = 12;

/// Hash of what defines the computation: from decoding to the outputs. Where the brokers are, how to get in, how the
/// pipeline is run and what it is tested with are left out: those may be secret, and change nothing that is computed.
/// Variables count where they are used.
pub(super) fn version(spec: &PipelineSpec) -> String {
    let mut defining = spec.clone();
    defining.vars = Default::default();
    defining.runtime = Default::default();
    defining.tests = Vec::new();
    defining.ledger = None;
    for kafka in defining.sources.values_mut().filter_map(|source| source.kafka.as_mut()) {
        kafka.brokers = String::new();
        kafka.group = None;
        kafka.security = None;
        kafka.properties = Default::default();
    }
    blake3::hash(&to_json(&defining)).to_hex()[..DIGITS].to_owned()
}
