//! One (features, target) pair -> one model's weights moved, in place, on slices of whoever holds them.
//! No storage, no keys, no scaling and no missing values here.
//!
//! # Source
//! Haykin, *Adaptive Filter Theory* (1996), table 13.1: recursive least squares with exponential forgetting, with
//! `P` kept as a packed upper triangle, so that it is symmetric by construction. Huber, *Robust Estimation of a
//! Location Parameter* (1964): the loss, applied by weighting the observation, which divides the forgetting factor in
//! the gain; Schlossmacher, *An Iterative Technique for Absolute Deviations Curve Fitting* (1973): the same for the
//! absolute error, a weight of one over the residual; Trigg, *Monitoring a Forecasting System* (1964): its scale, the smoothed mean absolute residual. Salgado, Goodwin and Middleton, *Modified least squares algorithm incorporating exponential resetting
//! and forgetting* (1988), for why the covariance must be bounded; our bound is per feature, in the manner of the
//! vector forgetting of Saelid and Foss (1983): see [`GROWTH_MAX`].

use crate::stages::predict::settings::Loss;

/// Most weights of one model, bias included: what the update keeps on the stack.
pub const WIDTH_MAX: usize = 64;

/// How far a feature's own diagonal element of `P` may grow beyond its start before that feature is no longer
/// forgotten. Without a bound, a feature that never moves (a silent sensor's flag, a stuck value beside the bias)
/// doubles its element every 693 updates at forgetting 0.999 until a single step throws the weights anywhere. While a
/// feature moves by a hundredth of its scale or more its element stays below (1 - forgetting) * 10,000, so the bound
/// is never met in ordinary operation. Other features go on forgetting: a whole-matrix bound would turn a model with
/// one dead feature into one that never forgets.
pub const GROWTH_MAX: f64 = 1e4;

/// Largest magnitude of a scaled feature or target. What is a thousand million times its scale is no reading; learned
/// under squared loss it would take 30,000 labels to forget at forgetting 0.999.
const MAGNITUDE_MAX: f64 = 1e9;

/// Largest magnitude of a weight: far beyond any use, far below where a forecast overflows.
const WEIGHT_MAX: f64 = 1e18;

/// Weight of the newest residual in the running scale once there are many: a memory of 500 labels.
const DEVIATION_RATE: f64 = 0.002;

/// A residual counts in the running scale as at most this many times the scale, so that no single one can switch the
/// robust loss off.
const DEVIATION_CLIP: f64 = 12.5;

/// Least residual where Huber's loss turns absolute, for a target of order one: a series that was constant for long
/// must still be able to learn that it moves.
const LIMIT_MIN: f64 = 0.05;

/// Residuals below this many mean absolute residuals weigh as much as one of that size: an absolute error has no curvature
/// at zero, and the weight would be infinite.
const ABSOLUTE_FLOOR: f64 = 0.2;

/// Mean absolute residuals beyond which a residual counts as one of that size, under every loss: no reading is that wrong, and
/// one that was spoofed moves the weights as an accident would. For a target of order one, [`RESIDUAL_MIN`] is the least.
const RESIDUALS_MAX: f64 = 100.0;
const RESIDUAL_MIN: f64 = 10.0;

/// Labels after which the running scale is trusted; until then every loss is squared.
const ROBUST_AFTER: u64 = 100;

/// How models are updated.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRule {
    /// Weight that remains of an observation after one more, in (0, 1].
    pub forgetting: f64,
    /// Loss on the residual.
    pub loss: Loss,
    /// Diagonal of `P` at the start, for features of order one.
    pub initial_covariance: f64,
    /// Where Huber's loss turns absolute, in running mean absolute residuals.
    pub huber_delta: f64,
    /// Trace of `P` above which a step forgets nothing; infinite for none.
    pub trace_max: f64,
}

/// One model's numbers, wherever they lie.
#[derive(Debug)]
pub struct ModelMut<'a> {
    /// Weights, as many as there are features.
    pub weights: &'a mut [f64],
    /// Upper triangle of `P`, row by row: [`triangle`] of the width.
    pub covariance: &'a mut [f64],
    /// Running mean absolute residual.
    pub deviation: &'a mut f64,
    /// Labels learned before this one.
    pub learned: u64,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The weights moved.
    Learned,
    /// A feature or the target is beyond a thousand million times its scale: the model is as it was.
    Refused,
    /// The step would have left the finite numbers or cost `P` its positive definiteness: `P` is back at its start and
    /// the weights are as they were.
    Reset,
}

/// Elements of the packed upper triangle of a square matrix of this width.
#[must_use]
pub const fn triangle(width: usize) -> usize {
    width * (width + 1) / 2
}

/// Sets a packed `P` to the start: `initial_covariance` times the identity.
pub fn start_covariance(covariance: &mut [f64], width: usize, initial_covariance: f64) {
    covariance.fill(0.0);
    let mut diagonal = 0;
    for row in 0..width {
        covariance[diagonal] = initial_covariance;
        diagonal += width - row;
    }
}

/// The forecast of one model: features times weights, in ascending order.
#[must_use]
pub fn forecast(weights: &[f64], features: &[f64]) -> f64 {
    weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum()
}

/// Learns one pair. Every number of `features` and `target` must be finite; at most [`WIDTH_MAX`] features.
///
/// With `e = target - w'x` and observation weight `v` (1 for squared loss):
/// `den = forgetting / v + x'Px`, `w += Px / den * e`, `P = (P - Px x'P / den) / forgetting`.
pub fn update(rule: &UpdateRule, model: &mut ModelMut<'_>, features: &[f64], target: f64) -> Outcome {
    // The same code for every width; where the width is a constant, the compiler unrolls all loops of it.
    macro_rules! by_width {
        ($($width:literal)*) => {
            match features.len() {
                $($width => step::<$width>($width, rule, model, features, target),)*
                width => step::<WIDTH_MAX>(width, rule, model, features, target),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

#[inline(always)]
fn step<const N: usize>(
    width: usize,
    rule: &UpdateRule,
    model: &mut ModelMut<'_>,
    features: &[f64],
    target: f64,
) -> Outcome {
    let x = &features[..width];
    if x.iter().fold(target.abs(), |most, feature| most.max(feature.abs())) > MAGNITUDE_MAX {
        return Outcome::Refused;
    }
    let weights = &mut model.weights[..width];
    let covariance = &mut model.covariance[..triangle(width)];
    let forgetting = forget(width, rule, covariance);
    let mut px = [0.0; N];
    multiply(width, covariance, x, &mut px);
    let mut residual = target;
    for i in 0..width {
        residual -= weights[i] * x[i];
    }
    if model.learned >= ROBUST_AFTER {
        let most = (RESIDUALS_MAX * *model.deviation).max(RESIDUAL_MIN);
        residual = residual.clamp(-most, most);
    }
    let least = forgetting / observation_weight(rule, *model.deviation, model.learned, residual);
    let mut den = least;
    for i in 0..width {
        den += x[i] * px[i];
    }
    let push = residual / den;
    let mut moved = [0.0; N];
    let mut sound = true;
    for i in 0..width {
        moved[i] = weights[i] + px[i] * push;
        sound &= moved[i].abs() < WEIGHT_MAX;
    }
    // A form x'Px that is not positive shows as a small `den`; NaN fails every comparison.
    sound &= den > 0.5 * least && den < f64::INFINITY;
    if !sound || !shrink(width, covariance, &px, den, forgetting) {
        start_covariance(covariance, width, rule.initial_covariance);
        return Outcome::Reset;
    }
    weights.copy_from_slice(&moved[..width]);
    observe_residual(model.deviation, model.learned, residual);
    Outcome::Learned
}

/// The forgetting factor of this step: 1 above the bound on the trace. Where a feature has reached its bound the others are forgotten here and now,
/// and the step itself forgets nothing.
#[inline(always)]
fn forget(width: usize, rule: &UpdateRule, covariance: &mut [f64]) -> f64 {
    let limit = GROWTH_MAX * rule.initial_covariance;
    let mut diagonal = 0;
    let mut bounded = false;
    let mut trace = 0.0;
    for row in 0..width {
        trace += covariance[diagonal];
        bounded |= covariance[diagonal] > limit;
        diagonal += width - row;
    }
    if trace > rule.trace_max {
        return 1.0;
    }
    if bounded {
        forget_by_feature(width, rule.forgetting, limit, covariance);
        return 1.0;
    }
    rule.forgetting
}

/// `P` becomes `S P S`, with `S` diagonal: 1 for features at their bound, 1 / sqrt(forgetting) for the others. `P`
/// stays positive definite, and where no feature is at its bound this is `P / forgetting`.
#[cold]
fn forget_by_feature(width: usize, forgetting: f64, limit: f64, covariance: &mut [f64]) {
    let mut growth = [0.0; WIDTH_MAX];
    let mut diagonal = 0;
    for (row, growth) in growth.iter_mut().enumerate().take(width) {
        *growth = if covariance[diagonal] > limit { 1.0 } else { forgetting.sqrt().recip() };
        diagonal += width - row;
    }
    let mut element = 0;
    for row in 0..width {
        for column in row..width {
            covariance[element] *= growth[row] * growth[column];
            element += 1;
        }
    }
}

/// `px = P x`.
#[inline(always)]
fn multiply(width: usize, covariance: &[f64], x: &[f64], px: &mut [f64]) {
    let mut below = covariance;
    for row in 0..width {
        let (upper, rest) = below.split_at(width - row);
        below = rest;
        for (product, element) in px[row + 1..width].iter_mut().zip(&upper[1..]) {
            *product += element * x[row];
        }
        px[row] += dot(upper, &x[row..]);
    }
}

/// Inner product in four lanes: one running sum would wait for every addition (measured: 4.4 M instead of 3.2 M
/// updates per second at 16 features).
#[inline(always)]
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let (left, right) = (left.chunks_exact(4), right.chunks_exact(4));
    let mut sum = 0.0;
    for (a, b) in left.remainder().iter().zip(right.remainder()) {
        sum += a * b;
    }
    let mut lanes = [0.0; 4];
    for (a, b) in left.zip(right) {
        for lane in 0..4 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + sum
}

/// `P = (P - Px x'P / den) / forgetting`; false where a diagonal element is not positive and finite afterwards.
#[inline(always)]
fn shrink(width: usize, covariance: &mut [f64], px: &[f64], den: f64, forgetting: f64) -> bool {
    let remembered = forgetting.recip();
    let shrinkage = remembered / den;
    let mut below = covariance;
    let mut sound = true;
    for row in 0..width {
        let (upper, rest) = below.split_at_mut(width - row);
        below = rest;
        let gain = px[row] * shrinkage;
        for (element, other) in upper.iter_mut().zip(&px[row..width]) {
            *element = *element * remembered - gain * other;
        }
        sound &= upper[0] > 0.0 && upper[0] < f64::INFINITY;
    }
    sound
}

/// Weight of an observation with this residual.
#[inline(always)]
fn observation_weight(rule: &UpdateRule, deviation: f64, learned: u64, residual: f64) -> f64 {
    match rule.loss {
        Loss::Squared => 1.0,
        Loss::Huber if learned < ROBUST_AFTER => 1.0,
        Loss::Huber => ((rule.huber_delta * deviation).max(LIMIT_MIN) / residual.abs()).min(1.0),
        Loss::Absolute if learned < ROBUST_AFTER => 1.0,
        Loss::Absolute => {
            let scale = deviation.max(LIMIT_MIN);
            scale / residual.abs().max(ABSOLUTE_FLOOR * scale)
        }
    }
}

/// Moves the running mean absolute residual: the plain mean at first, exponential later.
#[inline(always)]
fn observe_residual(deviation: &mut f64, learned: u64, residual: f64) {
    let rate = (1.0 / (learned as f64 + 1.0)).max(DEVIATION_RATE);
    let most = if learned < ROBUST_AFTER { f64::INFINITY } else { (DEVIATION_CLIP * *deviation).max(LIMIT_MIN) };
    let size = residual.abs().min(most);
    *deviation += rate * (size - *deviation);
}
