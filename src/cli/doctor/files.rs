//! What a pipeline needs of the disk -> whether it is there: input that can be read, a folder of its own that can be
//! written ([`super::disk`]).

use std::path::Path;

use arterial_connectors::folder::Manifest;
use arterial_connectors::kafka::Finding;
use arterial_connectors::source::Until;

use super::disk;
use crate::runtime::{Connect, Wiring};
use crate::spec::PipelinePlan;

/// Looks at files that are read and at the folder that is written; none of either gives no findings.
pub(super) fn check(plan: &PipelinePlan, wiring: &Wiring) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(file) = &plan.source.file {
        findings.push(match wiring.source("doctor", Until::Latest) {
            Ok(_) => Finding::ok("input", format!("`{}` can be read", file.path)),
            Err(error) => Finding::fail("input", error.to_string(), error.hint().to_owned()),
        });
    }
    if let Some(folder) = plan.sinks.folder() {
        let folder = plan.folder.join(folder);
        findings.push(owner(plan, &folder));
        findings.push(disk::check(&folder));
    }
    findings
}

/// Whose the folder is, and where a run would go on.
fn owner(plan: &PipelinePlan, folder: &Path) -> Finding {
    let shown = folder.display();
    let owned = |newest: Manifest| newest.check_owner(folder, &plan.name).map(|()| newest.epoch);
    match Manifest::newest(folder).and_then(|newest| newest.map(owned).transpose()) {
        Ok(None) => Finding::ok("output", format!("`{shown}` holds nothing yet; the run fills it")),
        Ok(Some(epoch)) => Finding::ok("output", format!("`{shown}` goes on after epoch {epoch}")),
        Err(error) => Finding::fail("output", error.to_string(), error.hint().to_owned()),
    }
}
