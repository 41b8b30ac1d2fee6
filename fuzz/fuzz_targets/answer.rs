//! The first two bytes are the HTTP status of an answer, the rest its body: decoding it never panics, and what comes
//! out fits into a status.
#![no_main]

use imagetask_operator::ecs::{MAX_ID, MAX_STATUS, MAX_TIME, MAX_TYPE, Word, inside};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [high, low, body @ ..] = data else { return };
    let Ok(tasks) = inside::decode(u16::from_be_bytes([*high, *low]), body) else { return };
    for task in tasks {
        assert!(task.id.as_str().len() <= MAX_ID);
        let most = [
            (Word::Type, MAX_TYPE),
            (Word::Status, MAX_STATUS),
            (Word::Resource, MAX_ID),
            (Word::Created, MAX_TIME),
            (Word::Ended, MAX_TIME),
            (Word::Updated, MAX_TIME),
        ];
        assert!(most.into_iter().all(|(word, max)| task.word(word).is_none_or(|it| it.chars().count() <= max)));
        assert!(task.process().is_none_or(|percent| percent <= 100));
    }
});
