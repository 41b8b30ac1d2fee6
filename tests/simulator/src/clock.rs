//! The cloud's clock and its ways of writing a time.

use std::time::Instant;

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, civil::DateTime};

/// A clock that may be ahead of the real one or behind it.
pub(crate) struct Clock {
    started: Instant,
    skew: SignedDuration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the simulator starts to count")]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), skew: SignedDuration::ZERO }
    }

    pub(crate) fn set_skew(&mut self, seconds: i64) {
        self.skew = SignedDuration::from_secs(seconds);
    }

    /// What the cloud believes the time to be.
    pub(crate) fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        real.checked_add(self.skew).unwrap_or(real)
    }

    /// Milliseconds since the start, which no skew changes.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The form of `X-Date`: `20220506T000712Z`.
pub(crate) fn parse_x_date(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    // strptime is more lenient than the form (it takes a one-digit month).
    let exact = civil.strftime("%Y%m%dT%H%M%SZ").to_string() == text;
    exact.then(|| Offset::UTC.to_timestamp(civil).ok()).flatten()
}

/// The form of the `Date` header.
pub(crate) fn http_date(now: Timestamp) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()
}

/// The form of a task's times: `2022-05-06T00:07:12+08:00`.
pub(crate) fn task_time(now: Timestamp) -> String {
    let china = now.to_zoned(TimeZone::fixed(Offset::constant(8)));
    china.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The beginning of a request id: `20220506000712`.
pub(crate) fn request_id_time(now: Timestamp) -> String {
    now.strftime("%Y%m%d%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: i64 = 1_651_766_832; // 2022-05-05T16:07:12Z, the end of the documentation's task

    #[test]
    fn a_time_is_written_as_the_cloud_writes_it() {
        let time = Timestamp::from_second(SAMPLE).unwrap();
        assert_eq!(
            (http_date(time).unwrap().as_str(), task_time(time).as_str(), request_id_time(time).as_str()),
            ("Thu, 05 May 2022 16:07:12 GMT", "2022-05-06T00:07:12+08:00", "20220505160712"),
        );
    }

    #[test]
    fn only_the_exact_form_is_an_x_date() {
        let exact = Timestamp::from_second(SAMPLE).ok();
        let forms =
            ["20220505T160712Z", "2022505T160712Z", "20220505T160712", "2022-05-05T16:07:12Z", "", "20221305T160712Z"];
        assert_eq!(forms.map(parse_x_date), [exact, None, None, None, None, None]);
    }
}
