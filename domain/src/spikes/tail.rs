//! Upper tail of the negative binomial distribution.

/// Terms of the series at most; the terms fall at least geometrically beyond the mean.
const MOST_TERMS: u32 = 2_000;

/// The chance of `count` or more when `mean` is expected and the variance is `mean + mean² * dispersion`.
///
/// Below the mean it is not needed and 1.
pub(super) fn upper_tail(count: u32, mean: f64, dispersion: f64) -> f64 {
    let n = f64::from(count);
    if n <= mean || mean <= 0.0 || dispersion <= 0.0 {
        return 1.0;
    }
    let size = dispersion.recip();
    let ratio = mean / (size + mean);
    let ln_first =
        ln_gamma(n + size) - ln_gamma(n + 1.0) - ln_gamma(size) + size * (size / (size + mean)).ln() + n * ratio.ln();
    let (mut term, mut sum) = (1.0, 1.0);
    for step in 0..MOST_TERMS {
        let next = n + f64::from(step);
        term *= (next + size) / (next + 1.0) * ratio;
        sum += term;
        if term < sum * 1e-9 {
            break;
        }
    }
    (ln_first + sum.ln()).exp().min(1.0)
}

/// Logarithm of the gamma function for positive arguments: Stirling's series above 8, the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < 8.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let inverse = shifted.recip();
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    let half_ln_two_pi = 0.918_938_533_204_672_7;
    (shifted - 0.5) * shifted.ln() - shifted + half_ln_two_pi + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-7 * right.abs()
    }

    #[test]
    fn the_logarithm_of_factorials() {
        let mut factorial = 1.0_f64;
        for n in 1..20 {
            factorial *= f64::from(n);
            assert!((ln_gamma(f64::from(n) + 1.0) - factorial.ln()).abs() < 1e-9, "{n}");
        }
        assert!(close(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln()));
    }

    #[test]
    fn the_tail_is_what_is_left_of_the_whole() {
        // Summed from the other side, term by term from the chance of none.
        for (mean, dispersion, count) in [(0.5, 0.05, 4_u32), (2.0, 0.3, 9), (30.0, 0.1, 60), (12.0, 1.0, 40)] {
            let size = 1.0_f64 / dispersion;
            let ratio = mean / (size + mean);
            let mut chance = (1.0 - ratio).powf(size);
            let mut below = 0.0;
            for n in 0..count {
                below += chance;
                chance *= (f64::from(n) + size) / (f64::from(n) + 1.0) * ratio;
            }
            let tail = upper_tail(count, mean, dispersion);
            assert!((tail - (1.0 - below)).abs() < 1e-9 + 1e-6 * tail, "{mean} {dispersion}: {tail} {}", 1.0 - below);
        }
    }

    #[test]
    fn a_geometric_tail_is_a_power() {
        assert!(close(upper_tail(12, 0.5, 1.0), (1.0_f64 / 3.0).powi(12)));
    }
}
