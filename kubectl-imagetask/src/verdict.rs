//! When the waiting is over, and how it ends.

use crate::exit::Exit;

/// What one ImageTask means for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It may still succeed.
    Open,
    /// It has succeeded.
    Good,
    /// It failed, is stuck, or was deleted.
    Bad,
}

/// How long a failure of one is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The first failure ends the waiting.
    FirstFailure,
    /// All are waited for. One that is stuck is not: nobody knows whether it will ever move.
    All,
}

/// The end of the waiting; `None` while there is something to wait for.
pub fn verdict(outlooks: impl IntoIterator<Item = Outlook>, patience: Patience) -> Option<Exit> {
    let (mut open, mut bad) = (false, false);
    for outlook in outlooks {
        match outlook {
            Outlook::Open => open = true,
            Outlook::Good => {}
            Outlook::Bad => bad = true,
        }
    }
    match (bad, open, patience) {
        (true, _, Patience::FirstFailure) | (true, false, Patience::All) => Some(Exit::Failed),
        (false, false, _) => Some(Exit::Success),
        (false, true, _) | (true, true, Patience::All) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_failure_ends_it_unless_all_are_waited_for() {
        use Outlook::{Bad, Good, Open};
        let table: [(&[Outlook], Option<Exit>, Option<Exit>); 6] = [
            (&[Open, Good], None, None),
            (&[Good, Good], Some(Exit::Success), Some(Exit::Success)),
            (&[Open, Bad], Some(Exit::Failed), None),
            (&[Good, Bad], Some(Exit::Failed), Some(Exit::Failed)),
            (&[Bad], Some(Exit::Failed), Some(Exit::Failed)),
            (&[Open], None, None),
        ];
        for (outlooks, first, all) in table {
            let of = |patience| verdict(outlooks.iter().copied(), patience);
            assert_eq!((of(Patience::FirstFailure), of(Patience::All)), (first, all), "{outlooks:?}");
        }
    }

    fn any_outlook() -> impl Strategy<Value = Outlook> {
        prop_oneof![Just(Outlook::Open), Just(Outlook::Good), Just(Outlook::Bad)]
    }

    proptest! {
        #[test]
        fn it_succeeds_only_when_all_have(outlooks in prop::collection::vec(any_outlook(), 1..20)) {
            let all_good = outlooks.iter().all(|it| *it == Outlook::Good);
            for patience in [Patience::FirstFailure, Patience::All] {
                let success = verdict(outlooks.iter().copied(), patience) == Some(Exit::Success);
                prop_assert_eq!(success, all_good);
            }
        }

        #[test]
        fn waiting_for_all_never_ends_before_waiting_for_the_first_failure(
            outlooks in prop::collection::vec(any_outlook(), 1..20),
        ) {
            let of = |patience| verdict(outlooks.iter().copied(), patience);
            let (first, all) = (of(Patience::FirstFailure), of(Patience::All));
            prop_assert!(all.is_none() || all == first);
        }
    }
}
