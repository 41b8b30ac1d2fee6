//! A span of time in as few characters as tell it.

use std::time::Duration;

/// `45s`, `3m12s`, `2h05m`, `3d04h`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, _) => format!("{days}d{:02}h", hours % 24),
    }
}

/// The same time to the second, as the field `timeout` takes it: `1h30m`.
pub fn exact(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    units.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units_are_told() {
        let shown = [0, 59, 60, 3599, 3600, 86_399, 86_400, 8_640_000].map(|it| span(Duration::from_secs(it)));
        let exactly = [1, 60, 5400, 90_061].map(|it| exact(Duration::from_secs(it)));
        assert_eq!(exactly, ["1s", "1m", "1h30m", "25h1m1s"]);
        assert_eq!(shown, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "100d00h"]);
    }
}
