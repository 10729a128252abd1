//! Numbers from 0 to 1, one by one -> where their mean rose. A window over the newest of them, as long as nothing in it
//! speaks for a change; what is older than a change is dropped. No scale, no keys, no state blocks.
//!
//! # Source
//! Bifet and Gavaldà 2007, "Learning from Time-Changing Data with Adaptive Windowing": ADWIN2, its exponential histogram (five
//! buckets a row) and the cut of its section 3.3, with `ln n` in place of the number of cuts. A cut leaves at least five
//! numbers on either side, and only one where the mean rose is told: errors that fall are no reason to do anything.
//!
//! *Invariant.* Buckets lie oldest first, those of a row side by side, and a bucket of row `r` holds `2^r` numbers.

use serde::{Deserialize, Serialize};

use super::{Part, Shift};

/// Buckets of a row; one more, and the two oldest become one of the next row.
pub const BUCKETS_MAX: usize = 5;
/// Rows. The window holds 20,475 numbers at most, 71 days of five-minute windows.
pub const ROWS: usize = 12;
/// Fewest numbers on either side of a cut.
pub const PART_MIN: u64 = 5;

/// Some numbers in a row. As they are from 0 to 1, the sum of their squares tells their variance well enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bucket {
    sum: f64,
    squares: f64,
}

/// The window of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    buckets: Vec<Bucket>,
    /// Buckets of each row.
    rows: Vec<u8>,
}

impl Default for Adwin {
    fn default() -> Self {
        Self { buckets: Vec::new(), rows: vec![0; ROWS] }
    }
}

impl Adwin {
    /// Takes a number in; `delta` is the probability of cutting a window whose mean is the same all along. Returns the
    /// clearest rise, if there is one; what is older is no longer in the window then.
    pub fn update(&mut self, delta: f64, value: f64) -> Option<Shift> {
        self.insert(value);
        let mut rise = None;
        while let Some(cut) = self.clearest_cut(delta) {
            if rise.is_none() && cut.after.mean > cut.before.mean {
                rise = Some(cut);
            }
            self.drop_oldest();
        }
        rise
    }

    /// Numbers in the window.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.rows.iter().enumerate().map(|(row, &buckets)| u64::from(buckets) << row).sum()
    }

    /// Whether it can be a window of this kind, and is not made up.
    #[must_use]
    pub fn sound(&self) -> bool {
        let held: usize = self.rows.iter().map(|&buckets| usize::from(buckets)).sum();
        self.rows.len() == ROWS
            && held == self.buckets.len()
            && self.rows.iter().all(|&buckets| usize::from(buckets) <= BUCKETS_MAX)
            && self.buckets.iter().all(|bucket| bucket.sum.is_finite() && bucket.squares.is_finite())
    }

    fn insert(&mut self, value: f64) {
        self.buckets.push(Bucket { sum: value, squares: value * value });
        self.rows[0] += 1;
        // The place of the row's oldest bucket.
        let mut first = self.buckets.len();
        for row in 0..ROWS {
            first -= usize::from(self.rows[row]);
            if usize::from(self.rows[row]) <= BUCKETS_MAX {
                return;
            }
            if row + 1 == ROWS {
                self.drop_oldest();
                return;
            }
            let newer = self.buckets.remove(first + 1);
            self.buckets[first].sum += newer.sum;
            self.buckets[first].squares += newer.squares;
            self.rows[row] -= 2;
            self.rows[row + 1] += 1;
            first += 1;
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(row) = self.rows.iter().rposition(|&buckets| buckets > 0) {
            self.rows[row] -= 1;
            self.buckets.remove(0);
        }
    }

    /// The cut that exceeds its bound by most.
    fn clearest_cut(&self, delta: f64) -> Option<Shift> {
        let width = self.width();
        if width < 2 * PART_MIN {
            return None;
        }
        let n = width as f64;
        let (sum, squares) =
            self.buckets.iter().fold((0.0, 0.0), |(sum, squares), bucket| (sum + bucket.sum, squares + bucket.squares));
        let variance = (squares / n - (sum / n) * (sum / n)).max(0.0);
        let confidence = (2.0 * n.ln() / delta).ln();
        let first_term = 2.0 * n * variance * confidence;
        let (mut clearest, mut excess) = (None, 0.0);
        let (mut older, mut older_sum, mut bucket) = (0_u64, 0.0, 0);
        for row in (0..ROWS).rev() {
            for _ in 0..self.rows[row] {
                older += 1 << row;
                older_sum += self.buckets[bucket].sum;
                bucket += 1;
                let newer = width - older;
                if older < PART_MIN || newer < PART_MIN {
                    continue;
                }
                let (n0, n1) = (older as f64, newer as f64);
                // Both sides of `|difference| > first term of the bound` times n0 n1, squared: most cuts end here.
                let apart = older_sum * n1 - (sum - older_sum) * n0;
                if apart * apart <= first_term * n0 * n1 {
                    continue;
                }
                let over = apart.abs() / (n0 * n1) - bound(n / (n0 * n1), variance, confidence);
                if over > excess {
                    excess = over;
                    let before = Part { mean: older_sum / n0, labels: older };
                    clearest = Some(Shift { before, after: Part { mean: (sum - older_sum) / n1, labels: newer } });
                }
            }
        }
        clearest
    }
}

/// How far the means of two parts may lie apart; `inverse` is one over the number of each part, added up.
fn bound(inverse: f64, variance: f64, confidence: f64) -> f64 {
    (2.0 * inverse * variance * confidence).sqrt() + 2.0 / 3.0 * inverse * confidence
}
