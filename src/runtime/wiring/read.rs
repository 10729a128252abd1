//! A topic -> its batches up to the end that it has now, for whoever looks at one as a whole.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arterial_connectors::position::Partition;
use arterial_connectors::source::{SeekTo, Source, SourceBatch, SourceError, SourceEvent};

/// Longest wait for one event, after which it is asked again.
const WAIT: Duration = Duration::from_secs(1);

/// How long a topic may stay silent before its end: a group forms in seconds, a broker restarts in less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at a topic.
pub(in crate::runtime) trait Visit<E> {
    /// Where to start partitions, in their order; each at its start unless said.
    fn starts(&mut self, partitions: &[Partition]) -> Result<Vec<SeekTo>, E> {
        Ok(vec![SeekTo::Start; partitions.len()])
    }

    /// Takes a batch; `false`: nothing more is wanted.
    fn batch(&mut self, source: &dyn Source, batch: &SourceBatch) -> Result<bool, E>;
}

/// Reads every partition to its end.
///
/// # Errors
/// The source's and the visitor's; [`SourceError::Client`] where nothing comes for a minute, or where the group moves
/// partitions elsewhere meanwhile: what was not read would be missing from the whole.
pub(in crate::runtime) fn read_to_end<E: From<SourceError>>(
    source: &mut dyn Source,
    operation: &'static str,
    visitor: &mut dyn Visit<E>,
) -> Result<(), E> {
    source.partition_counts()?;
    let mut deadline = Instant::now() + PATIENCE;
    let (mut begun, mut open) = (false, BTreeSet::new());
    while !begun || !open.is_empty() {
        let event = match source.poll(WAIT) {
            Ok(event) => event,
            Err(error) if error.transient() => None,
            Err(error) => return Err(error.into()),
        };
        if event.is_some() {
            deadline = Instant::now() + PATIENCE;
        } else if Instant::now() >= deadline {
            let why = source.connected().err().unwrap_or_else(|| "the group gave no partitions".to_owned());
            let reason = format!("nothing came for {} s: {why}", PATIENCE.as_secs());
            return Err(SourceError::Client { operation, reason, transient: true }.into());
        }
        match event {
            Some(SourceEvent::Assigned(partitions)) => {
                begun = true;
                open.extend(partitions.iter().copied());
                for (partition, start) in partitions.iter().zip(visitor.starts(&partitions)?) {
                    source.seek(*partition, start)?;
                }
            }
            Some(SourceEvent::Batch(batch)) if !visitor.batch(source, &batch)? => return Ok(()),
            Some(SourceEvent::End(partition)) => drop(open.remove(&partition)),
            Some(SourceEvent::Revoked(partitions) | SourceEvent::Lost(partitions)) => {
                let reason = format!("the group took {} partitions away while they were read", partitions.len());
                return Err(SourceError::Client { operation, reason, transient: true }.into());
            }
            Some(SourceEvent::Batch(_)) | None => {}
        }
    }
    Ok(())
}
