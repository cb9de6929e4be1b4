//! Timing and printing.

use std::time::Instant;

/// Rounds whose best counts: the rest is what other processes took.
const ROUNDS: usize = 5;

/// Seconds that `act` takes at best, after one round to warm up.
pub fn best(mut act: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    act()?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        act()?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Prints the head of the table.
pub fn head() {
    println!("{:<34} {:>11} {:>11} {:>8}  limit", "stage", "pictures/s", "limit", "reached");
}

/// Prints a stage: pictures a second, and those that `limit` allows.
pub fn row(stage: &str, found: f64, limit: Option<(f64, &str)>) {
    match limit {
        Some((limit, what)) => println!("{stage:<34} {found:>11.1} {limit:>11.1} {:>7.0} %  {what}", 100.0 * found / limit),
        None => println!("{stage:<34} {found:>11.1}"),
    }
}
