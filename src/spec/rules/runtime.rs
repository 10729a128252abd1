//! `runtime:`: commits that can be kept up, an address to listen on, a name that fits into others.

use super::Check;
use crate::spec::model::{RuntimeSpec, Span};
use crate::spec::part::Part;
use crate::spec::syntax;

/// Longest time between commits. Kafka aborts a transaction after 60 s by default; half of that leaves room for the
/// commit itself.
const COMMIT_EVERY_MAX: Span = Span::seconds(30);

pub(super) fn check(check: &mut Check<'_>) {
    let runtime = check.file.get("runtime");
    let defaults = RuntimeSpec::default();
    let (every, most) = (runtime.get("commit_every"), runtime.get("commit_every_max"));
    let every_span = if every.given() { every.read() } else { Some(defaults.commit_every) };
    let most_span = if most.given() { most.read() } else { Some(defaults.commit_every_max) };
    if let (Some(usual), Some(longest)) = (every_span, most_span)
        && usual > longest
    {
        let message = format!("`commit_every` {usual} is more than `commit_every_max` {longest}");
        check.push(every.problem(message, "lower it, or raise `commit_every_max`"));
    }
    if let Some(longest) = most_span.filter(|longest| *longest > COMMIT_EVERY_MAX) {
        let message = format!("`commit_every_max` {longest} is more than {COMMIT_EVERY_MAX}");
        check.push(most.problem(message, "Kafka would abort transactions that stay open so long"));
    }
    let workers = runtime.get("workers");
    let without_group =
        |source: &Part<'_>| ["file", "simulate", "feed", "custom"].iter().any(|kind| source.get(kind).given());
    if let [(_, source)] = check.file.get("sources").entries().as_slice()
        && without_group(source)
        && !source.get("kafka").given()
        && workers.read::<u32>().is_some_and(|workers| workers > 1)
    {
        let message = "several workers share the partitions of a Kafka consumer group; this source has none".to_owned();
        check.push(workers.problem(message, "remove `workers`, or set it to 1"));
    }
    let on_kafka = check.file.get("sources").entries().iter().any(|(_, source)| source.get("kafka").given())
        || check.file.get("sinks").entries().iter().any(|(_, sink)| sink.get("kafka").given());
    for key in ["static_membership", "state_replication"] {
        let part = runtime.get(key);
        if part.given() && !on_kafka {
            check
                .push(part.key_problem(format!("`{key}` is for Kafka, which this pipeline does without"), "remove it"));
        }
    }
    let instance = runtime.get("instance");
    if let Some(name) = instance.text().filter(|name| !syntax::is_name(name)) {
        let hint = "use lower-case letters, digits, `_` and `-`: it becomes part of Kafka's transactional id";
        check.push(instance.problem(format!("`{name}` is not a name for an instance"), hint));
    }
    let listen = runtime.get("listen");
    if let Some(address) = listen.text().filter(|address| !syntax::is_listen_address(address)) {
        let hint = "write an IP address and a port: `127.0.0.1:9464`, `0.0.0.0:9464` or `[::1]:9464`";
        check.push(listen.problem(format!("`{address}` is not an address to listen on"), hint));
    }
}
