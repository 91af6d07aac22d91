//! Limit, product, limit again: ratios, and what voids them.

/// Rounds of a ratio.
pub const ROUNDS: usize = 5;
/// Most that the limits of one round may differ.
const APART: f64 = 1.3;
/// Rounds tried in place of void ones.
const AGAIN: usize = 5;

/// What a figure must be.
#[derive(Clone, Copy)]
pub enum Target {
    /// At least this.
    Least(f64),
    /// At most this.
    Most(f64),
}

/// Values of one thing.
pub struct Series(Vec<f64>);

impl Series {
    /// Of what was measured.
    pub fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value that this part of them does not exceed.
    pub fn at(&self, part: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * part).round() as usize]
    }

    /// In the middle.
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }
}

/// Measures a rate against its limit, both as "how much in a second". Rounds whose limits differ
/// by more than 30 % are void and measured again, at most five of them.
pub fn rate(
    name: &str,
    what: &str,
    unit: &str,
    target: Target,
    mut limit: impl FnMut() -> f64,
    mut product: impl FnMut() -> f64,
) -> (f64, f64) {
    let (mut ratios, mut products, mut limits, mut void) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut before = limit();
    while ratios.len() < ROUNDS && void <= AGAIN {
        let is = product();
        let after = limit();
        if before.max(after) > APART * before.min(after) {
            void += 1;
        } else {
            let most = f64::midpoint(before, after);
            ratios.push(is / most);
            products.push(is);
            limits.push(most);
        }
        before = after;
    }
    if ratios.is_empty() {
        println!("{name:<5} {what}: void: in none of {void} rounds did the limit hold still");
        return (f64::NAN, f64::NAN);
    }
    let (ratio, product, limit) = (Series::new(ratios), Series::new(products), Series::new(limits));
    let met = verdict(ratio.median(), target);
    println!(
        "{name:<5} {what}: ratio {:.2} (best {:.2}, worst {:.2}, {} rounds, {void} void) {met}; {} {unit} of {} {unit}",
        ratio.median(),
        ratio.at(1.0),
        ratio.at(0.0),
        ratio.0.len(),
        round(product.median()),
        round(limit.median()),
    );
    (ratio.median(), product.median())
}

/// Prints values for which less is better, by their median.
pub fn times(name: &str, what: &str, unit: &str, target: Option<Target>, series: &Series) {
    let met = target.map_or_else(String::new, |t| verdict(series.median(), t));
    println!(
        "{name:<5} {what}: median {} {unit} (best {}, p99 {}, worst {}, n {}) {met}",
        round(series.median()),
        round(series.at(0.0)),
        round(series.at(0.99)),
        round(series.at(1.0)),
        series.0.len(),
    );
}

/// Prints one value.
pub fn one(name: &str, what: &str, unit: &str, target: Target, value: f64) {
    println!("{name:<5} {what}: {} {unit} {}", round(value), verdict(value, target));
}

fn verdict(value: f64, target: Target) -> String {
    let (met, words) = match target {
        Target::Least(least) => (value >= least, format!(">= {least}")),
        Target::Most(most) => (value <= most, format!("<= {most}")),
    };
    format!("[{} {words}]", if met { "met" } else { "MISSED" })
}

/// Three figures, or whole numbers above a hundred.
fn round(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
