//! The first two bytes are the HTTP status of an answer, the rest its body: decoding it never panics, and what comes
//! out fits into a status.
#![no_main]

use imagetask_operator::ecs::{MAX_ID, MAX_STATUS, MAX_TIME, MAX_TYPE, inside};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [high, low, body @ ..] = data else { return };
    let Ok(tasks) = inside::decode(u16::from_be_bytes([*high, *low]), body) else { return };
    for task in tasks {
        let fits = |word: &Option<Box<str>>, max: usize| word.as_ref().is_none_or(|word| word.chars().count() <= max);
        assert!(task.id.as_str().len() <= MAX_ID);
        assert!(fits(&task.type_, MAX_TYPE) && fits(&task.status, MAX_STATUS) && fits(&task.resource_id, MAX_ID));
        assert!([&task.created_at, &task.updated_at, &task.ended_at].into_iter().all(|time| fits(time, MAX_TIME)));
        assert!(task.process.is_none_or(|percent| percent <= 100));
    }
});
