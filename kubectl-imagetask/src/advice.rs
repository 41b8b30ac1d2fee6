//! What a reason means and what to do about it: the words of docs/reasons.md, which this program carries along, so that
//! they are written in one place.

const PAGE: &str = include_str!("../../docs/reasons.md");

/// The section of the page about a reason, as one line; `None` for one that a later operator has.
pub fn advice(reason: &str) -> Option<String> {
    let mut sections = PAGE.split("\n## ").skip(1);
    let section = sections.find_map(|section| section.strip_prefix(reason)?.strip_prefix('\n'))?;
    let line = section.split_whitespace().collect::<Vec<_>>().join(" ");
    // Links of the page, such as [Alert](runbook.md#alert).
    Some(line.replace("](", " (docs/").replace('[', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagetask_operator::reason::Reason;

    #[test]
    fn there_is_advice_for_every_reason() {
        for reason in Reason::ALL {
            let advice = advice(reason.as_str());
            assert!(advice.is_some_and(|advice| advice.len() > 30 && !advice.contains("## ")), "{reason:?}");
        }
        assert_eq!((advice("Task"), advice("OfALaterVersion")), (None, None));
    }

    #[test]
    fn advice_is_what_the_page_says() {
        let told = "The cloud has accepted the task and not begun it. Nothing to do.";
        assert_eq!(advice("TaskPending").as_deref(), Some(told));
        let throttled = advice("Throttled").unwrap();
        assert!(throttled.contains("ImageTaskCloudThrottled (docs/runbook.md#imagetaskcloudthrottled)"), "{throttled}");
    }
}
