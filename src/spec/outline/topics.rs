//! The Kafka topics of a plan: what is read, written and created.

use super::TopicOutline;
use crate::spec::model::Output;
use crate::spec::plan::PipelinePlan;

pub(super) fn of(plan: &PipelinePlan) -> Vec<TopicOutline> {
    let Some(kafka) = &plan.source.kafka else { return Vec::new() };
    let mut topics: Vec<TopicOutline> = kafka
        .topics
        .iter()
        .map(|topic| TopicOutline {
            topic: topic.clone(),
            reads: true,
            writes: false,
            creates: kafka.embedded(),
            partitions: kafka.partitions,
            holds: "readings",
        })
        .collect();
    for (_, sink) in plan.sinks.declared() {
        let Some(written) = &sink.kafka else { continue };
        topics.push(TopicOutline {
            topic: written.topic.clone(),
            reads: false,
            writes: true,
            creates: written.create.is_some(),
            partitions: written.create.as_ref().map(|create| create.partitions),
            holds: content(sink.from),
        });
    }
    let own = |topic, holds| TopicOutline { topic, reads: true, writes: true, creates: true, partitions: None, holds };
    topics.push(own(plan.control_topic(), "decisions by the wall clock"));
    topics.push(own(plan.state_topic(), "windows, models, positions"));
    topics
}

/// What an output holds, for people.
pub(super) const fn content(output: Output) -> &'static str {
    match output {
        Output::Alerts => "alert changes",
        Output::Forecasts => "forecasts",
        Output::Scores => "scores by day",
        Output::Drift => "forecasts' errors that rose",
        Output::Promotions => "models that took over from others",
        Output::Late => "late records, as they came",
        Output::DeadLetter => "dead letters, as they came",
    }
}
