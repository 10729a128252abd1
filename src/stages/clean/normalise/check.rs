//! Settings of a `normalise` step and the columns at hand -> a checked step, or every problem with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::scale::Scale;
use super::streaming::{Plan, Streaming, block_keys};
use super::{Frozen, Learning, NORMALISE, Normalise, NormaliseError, Shape};
use crate::stages::clean::custom::{CustomPlan, StepNumber, state_step};
use crate::stages::clean::key::{KeyKind, key_kind};
use crate::stages::clean::keyed::Bounds;
use crate::stages::clean::plan::{Scope, Step, Stepped, is_flag};
use crate::stages::clean::{CleanPlanError, CustomStep, NormaliseMethod, Parameters};
use crate::stages::custom::Fresh;
use crate::vocab::{IMPUTED, MadeWith, YamlPath};

/// Most columns of a step that keeps quartiles: 20 kB each at most, and a record holds 1 MB.
const QUARTILES_MAX: usize = 40;

/// Checks the step.
pub(in crate::stages::clean) fn plan_normalise(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    settings: &Normalise,
    before: &[Step],
) -> Stepped {
    let suffix = settings.suffix.as_deref();
    let (columns, mut fine) = columns(scope, path, settings);
    let limits = limits(scope, path, settings);
    fine &= limits.is_ok();
    let shape = Shape::new(scope.schema, columns, suffix, limits.unwrap_or_default());
    let schema = Arc::clone(&shape.schema);
    let step = match &settings.learning {
        Learning::Frozen(parameters) => scales(scope, path, settings, parameters)
            .filter(|_| fine)
            .map(|scales| Step::Normalise(Frozen { shape, scales })),
        Learning::Streaming { by, .. } => {
            fine &= counts(scope, path, settings);
            key(scope, path, by).filter(|_| fine).map(|key| streaming(scope, settings, shape, key, before))
        }
    };
    step.map_or_else(|| Stepped::OnlySchema(Arc::clone(&schema)), |step| Stepped::Known(step, Arc::clone(&schema)))
}

/// Indices of the columns, and whether all can be scaled.
fn columns(scope: &mut Scope<'_>, path: &YamlPath, settings: &Normalise) -> (Vec<usize>, bool) {
    let mut indices = Vec::new();
    let mut seen = BTreeSet::new();
    let problems = |fine: &mut bool, scope: &mut Scope<'_>, place: &YamlPath, error| {
        scope.refuse(place, error);
        *fine = false;
    };
    let mut fine = true;
    for (position, name) in settings.columns.iter().enumerate() {
        let place = path.key("columns").index(position);
        let Some(index) = scope.column(&place, name) else {
            fine = false;
            continue;
        };
        if !seen.insert(name) {
            problems(&mut fine, scope, &place, CleanPlanError::RepeatedColumn { name: name.clone() });
            continue;
        }
        let data_type = scope.schema.field(index).data_type();
        if !data_type.is_numeric() {
            let found = data_type.to_string();
            problems(&mut fine, scope, &place, CleanPlanError::NotNumeric { name: name.clone(), found });
            continue;
        }
        match &settings.suffix {
            Some(suffix) => {
                let name = format!("{name}{suffix}");
                if scope.schema.index_of(&name).is_ok() {
                    problems(&mut fine, scope, &path.key("suffix"), CleanPlanError::ColumnExists { name });
                    continue;
                }
            }
            None => fine &= !scope.is_fixed(&place, name, "write a `suffix`: results are then columns of their own"),
        }
        indices.push(index);
    }
    if settings.columns.is_empty() {
        problems(&mut fine, scope, &path.key("columns"), CleanPlanError::NoColumns);
    }
    (indices, fine)
}

/// Least and greatest result. That of `min_max` lies in 0..1 and `clip` outside of it at most, others in `clip` around 0.
fn limits(scope: &mut Scope<'_>, path: &YamlPath, settings: &Normalise) -> Result<Option<(f64, f64)>, ()> {
    let Some(clip) = settings.clip else { return Ok(None) };
    let around_middle = settings.method != NormaliseMethod::MinMax;
    if !clip.is_finite() || clip < 0.0 || (around_middle && clip == 0.0) {
        let hint = "write how far from the middle results may lie: `clip: 5`";
        let error = CleanPlanError::Normalise(NormaliseError::Clip { clip });
        scope.refuse_with(&path.key("clip"), error, Some(hint.to_owned()));
        return Err(());
    }
    Ok(Some(if around_middle { (-clip, clip) } else { (-clip, 1.0 + clip) }))
}

/// What each column is scaled by, by the parameters given.
fn scales(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    settings: &Normalise,
    parameters: &BTreeMap<String, Parameters>,
) -> Option<Vec<Scale>> {
    let path = path.key("parameters");
    let mut scales = Vec::new();
    let mut fine = true;
    for name in &settings.columns {
        let given = parameters.get(name);
        match given
            .map_or_else(|| Err(NormaliseError::NoParameters { name: name.clone() }), |p| scale(p, name, settings))
        {
            Ok(scale) => scales.push(scale),
            Err(error) => {
                let place = if given.is_some() { path.key(name) } else { path.clone() };
                scope.refuse(&place, CleanPlanError::Normalise(error));
                fine = false;
            }
        }
    }
    for name in parameters.keys().filter(|name| !settings.columns.contains(name)) {
        let error = NormaliseError::NotListed { name: name.clone() };
        scope.refuse(&path.key(name), CleanPlanError::Normalise(error));
        fine = false;
    }
    fine.then_some(scales)
}

fn scale(parameters: &Parameters, name: &str, settings: &Normalise) -> Result<Scale, NormaliseError> {
    let Parameters { mean, deviation, minimum, maximum, median, iqr } = *parameters;
    let method = settings.method;
    let (center, spread, what) = match (method, [mean, deviation], [minimum, maximum], [median, iqr]) {
        (NormaliseMethod::ZScore, [Some(mean), Some(deviation)], [None, None], [None, None]) => {
            (mean, deviation, "`deviation`")
        }
        (NormaliseMethod::MinMax, [None, None], [Some(minimum), Some(maximum)], [None, None]) => {
            (minimum, maximum - minimum, "`maximum` less `minimum`")
        }
        (NormaliseMethod::Robust, [None, None], [None, None], [Some(median), Some(iqr)]) => (median, iqr, "`iqr`"),
        _ => {
            let (method, takes) = method.takes();
            return Err(NormaliseError::OtherParameters { name: name.to_owned(), method, takes });
        }
    };
    // Also true where one of them is NaN.
    if !(center.is_finite() && spread.is_finite() && spread > 0.0) {
        return Err(NormaliseError::Spread { name: name.to_owned(), what, spread });
    }
    Ok(Scale { center, spread })
}

/// Whether what is learned has its bounds.
fn counts(scope: &mut Scope<'_>, path: &YamlPath, settings: &Normalise) -> bool {
    let Learning::Streaming { min_count, freeze_after, .. } = settings.learning else { return true };
    let mut problems = Vec::new();
    if min_count < 2 {
        problems.push(("min_count", NormaliseError::MinCount { min_count }));
    }
    if let Some(freeze_after) = freeze_after.filter(|enough| *enough < min_count) {
        problems.push(("freeze_after", NormaliseError::FrozenEarly { freeze_after, min_count }));
    }
    let count = settings.columns.len();
    if settings.method == NormaliseMethod::Robust && count > QUARTILES_MAX {
        problems.push(("columns", NormaliseError::ManyColumns { count, most: QUARTILES_MAX }));
    }
    let fine = problems.is_empty();
    for (key, error) in problems {
        scope.refuse(&path.key(key), CleanPlanError::Normalise(error));
    }
    fine
}

/// Columns whose values together have parameters of their own.
fn key(scope: &mut Scope<'_>, path: &YamlPath, by: &[String]) -> Option<Vec<(usize, KeyKind)>> {
    let mut key = Vec::new();
    for (position, name) in by.iter().enumerate() {
        let place = path.key("by").index(position);
        let Some(index) = scope.column(&place, name) else { continue };
        let data_type = scope.schema.field(index).data_type();
        match key_kind(data_type) {
            Some(kind) => key.push((index, kind)),
            None => {
                let found = data_type.to_string();
                scope.refuse(&place, CleanPlanError::KeyType { name: name.clone(), found });
            }
        }
    }
    (key.len() == by.len()).then_some(key)
}

fn streaming(
    scope: &Scope<'_>,
    settings: &Normalise,
    shape: Shape,
    key: Vec<(usize, KeyKind)>,
    before: &[Step],
) -> Step {
    let (method, count) = (settings.method, settings.columns.len());
    let (min_count, freeze_after, by) = match &settings.learning {
        Learning::Streaming { min_count, freeze_after, by } => (*min_count, *freeze_after, by.as_slice()),
        Learning::Frozen(_) => (0, None, &[][..]),
    };
    let step = state_step(NORMALISE, before);
    let made_with = MadeWith {
        step: step.clone(),
        meaning: format!("{method:?} {:?} by {by:?}", settings.columns),
        settings: format!("{min_count} {freeze_after:?}"),
    };
    // The one set of a partition is kept for good, those of keys as long as keys are.
    let kept_micros = if by.is_empty() { i64::MAX } else { scope.input.expire_micros.max(1) };
    let keys_max = scope.input.keys_max.max(1);
    let bounds = Bounds { kept_micros, keys_max, block_keys: block_keys(method, count) };
    let flag = scope.schema.index_of(IMPUTED).ok().filter(|_| is_flag(scope.schema, IMPUTED));
    let schema = Arc::clone(&shape.schema);
    let plan = Arc::new(Plan { shape, method, key, flag, min_count, freeze_after, bounds, step });
    let fresh = Fresh::new(move |_: &str| -> Box<dyn CustomStep> { Box::new(Streaming::new(Arc::clone(&plan))) });
    Step::Custom(CustomPlan::built_in(NORMALISE, made_with, schema, fresh, StepNumber::after(before)))
}
