//! The same topic read again and again, each time one stage deeper, with the stages that a pipeline is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arterial::runtime::{Connect, Wiring};
use arterial::spec::PipelinePlan;
use arterial::stages::clean::Cleaner;
use arterial::stages::decode::Decoder;
use arterial::stages::features::Features;
use arterial::stages::predict::Predict;
use arterial::stages::window::{Watermark, Windows};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{SeekTo, SourceBatch, SourceEvent, Until};

use crate::measure::{Cost, Meter};

/// How far the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    Source,
    Decode,
    Clean,
    Features,
    Predict,
}

/// What came out, to be checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) rejected: u64,
    pub(crate) windows: u64,
}

/// The stages of one partition.
struct Chain {
    decoder: Decoder,
    watermark: Watermark,
    cleaner: Cleaner,
    windows: Windows,
    features: Features,
    predict: Predict,
}

impl Chain {
    fn new(plan: &PipelinePlan) -> Self {
        Self {
            decoder: Decoder::new(Arc::clone(&plan.decode)),
            watermark: Watermark::new(&plan.window),
            cleaner: Cleaner::new(Arc::clone(&plan.clean)),
            windows: Windows::new(Arc::clone(&plan.window)),
            features: Features::new(Arc::clone(&plan.features)),
            predict: Predict::new(Arc::clone(&plan.predict)),
        }
    }

    fn process(&mut self, batch: &SourceBatch, depth: Depth, counts: &mut Counts) -> Result<()> {
        if depth == Depth::Source {
            return Ok(());
        }
        let decoded = self.decoder.decode(&batch.payload)?;
        counts.rejected += decoded.rejected.len() as u64;
        if depth == Depth::Decode {
            return Ok(());
        }
        let advance = self.watermark.advance(&decoded.rows);
        let (rows, _late) = advance.split(decoded.rows)?;
        let cleaned = self.cleaner.clean(rows)?;
        counts.rejected += cleaned.rejected.len() as u64;
        if depth == Depth::Clean {
            return Ok(());
        }
        let (features, predict) = (&mut self.features, &mut self.predict);
        self.windows.push(&cleaned.rows, &advance.crossings, &mut |keys, window| {
            counts.windows += window.live.iter().filter(|live| **live).count() as u64;
            features.meet_keys(keys.len(), |key| keys.values(key).next());
            let matrix = features.update(window);
            if depth >= Depth::Predict {
                std::hint::black_box(predict.step(window, &matrix));
            }
        });
        Ok(())
    }
}

/// Reads the plan's topic to its end.
pub(crate) fn read(plan: &Arc<PipelinePlan>, depth: Depth) -> Result<(Cost, Counts)> {
    let mut source = Wiring::new(plan)?.source("bench", Until::Latest)?;
    let mut chains: BTreeMap<Partition, Chain> = BTreeMap::new();
    let (mut meter, mut counts, mut ended) = (Meter::default(), Counts::default(), 0);
    while chains.is_empty() || ended < chains.len() {
        match source.poll(Duration::from_millis(100))? {
            Some(SourceEvent::Assigned(partitions)) => {
                for partition in partitions {
                    chains.insert(partition, Chain::new(plan));
                    source.seek(partition, SeekTo::Start)?;
                }
            }
            Some(SourceEvent::Batch(batch)) => {
                meter.rows(batch.payload.len());
                let chain = chains.get_mut(&batch.partition).context("a batch of a partition that is not ours")?;
                chain.process(&batch, depth, &mut counts)?;
            }
            Some(SourceEvent::End(_)) => {
                ended += 1;
                meter.stop();
            }
            Some(SourceEvent::Revoked(partitions)) => source.release(&partitions)?,
            Some(SourceEvent::Lost(_)) | None => {}
        }
    }
    Ok((meter.cost().context("the topic is empty")?, counts))
}
