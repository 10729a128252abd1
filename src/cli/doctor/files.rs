//! What a pipeline needs of the disk -> whether it is there: input that can be read, a folder of its own, room.

use std::path::{Path, PathBuf};

use arterial_connectors::folder::Manifest;
use arterial_connectors::kafka::Finding;
use arterial_connectors::source::Until;
use rustix::fs::{Access, access, statvfs};

use crate::runtime::{Connect, Wiring};
use crate::spec::PipelinePlan;

/// Below this much room somebody should look.
const ROOM_BYTES: u64 = 1 << 30;

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
        findings.extend(writable(&folder));
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

/// Whether files can be made in the folder, or in that in which it will be made, and how much room there is.
fn writable(folder: &Path) -> Vec<Finding> {
    let Some(place) = existing(folder) else {
        let remedy = "name a folder on a disk that is there".to_owned();
        return vec![Finding::fail("disk", format!("nothing of `{}` exists", folder.display()), remedy)];
    };
    let shown = place.display();
    if let Err(error) = access(&place, Access::WRITE_OK | Access::EXEC_OK) {
        let remedy = format!("let this user write there: `chmod u+rwx {shown}`");
        return vec![Finding::fail("disk", format!("cannot write in `{shown}`: {error}"), remedy)];
    }
    let room = match statvfs(&place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let remedy = "look at the disk".to_owned();
            return vec![Finding::warn("disk", format!("nobody says how much room `{shown}` has: {error}"), remedy)];
        }
    };
    let says = format!("{:.1} GB are free in `{shown}`", room as f64 / 1e9);
    vec![if room >= ROOM_BYTES {
        Finding::ok("disk", says)
    } else {
        let remedy = "make room: outputs grow, and two epochs keep their state, about 1 kB per sensor each".to_owned();
        Finding::warn("disk", says, remedy)
    }]
}

/// The folder, or the nearest above it that exists.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|place| place.exists()).map(Path::to_owned)
}
