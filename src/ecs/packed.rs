//! One word of the cloud, packed and told as it came: one it is known to write takes a byte, a time six, and any other
//! its length and a byte.

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::StdIoWrite;
use k8s_openapi::jiff::fmt::temporal::{DateTimePrinter, Pieces};
use k8s_openapi::jiff::tz::Offset;
use smallvec::SmallVec;

use crate::clock::Second;

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed<'a> {
    /// Nothing, or an empty word.
    Absent,
    /// One of [`KNOWN`], by its place.
    Known(u8),
    /// Such as `2022-05-06T00:01:00+08:00`.
    Time(Second, QuarterHours),
    /// Any other.
    Text(&'a str),
}

/// Words while they are packed; 128: six of them and an id of the known length take some 60 bytes.
pub(super) type Packing = SmallVec<[u8; 128]>;

/// East of Greenwich, as every zone in use is.
type QuarterHours = i8;

/// The words for state and type of a task (docs 6396/120437); what is missing here takes more memory, and no more.
const KNOWN: [&str; 11] = [
    "Pending",
    "Running",
    "Succeeded",
    "Failed",
    "UnknownStatus",
    "ExportImage",
    "ImportImage",
    "CopyImage",
    "CreateImage",
    "PreheatImage",
    "DetectImage",
];

// What the first byte says; from `SHORT` to `LONG` it is the length of a text, with `SHORT` added.
const ABSENT: u8 = 0;
const FIRST_KNOWN: u8 = 1;
const TIME: u8 = 0x1f;
const SHORT: u8 = 0x20;
/// The length follows, in two bytes.
const LONG: u8 = 0xff;

impl<'a> Packed<'a> {
    /// Packs a word of at most 64 KiB.
    pub(super) fn of(word: Option<&'a str>) -> Self {
        let Some(text) = word.filter(|word| !word.is_empty()) else { return Self::Absent };
        match (0..).zip(KNOWN).find(|(_, known)| *known == text) {
            Some((place, _)) => Self::Known(place),
            None => time(text).map_or(Self::Text(text), |(second, zone)| Self::Time(second, zone)),
        }
    }

    /// The word.
    pub(super) fn told(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Absent => None,
            Self::Known(place) => Some(KNOWN[usize::from(place)].into()),
            Self::Time(second, zone) => {
                let printed = print(second, zone).expect("it was printed when it was packed");
                Some(String::from_utf8(printed.into()).expect("a time is ASCII").into())
            }
            Self::Text(text) => Some(text.into()),
        }
    }

    /// The word as an instant, if it is one; a time without a zone is Beijing's.
    pub(super) fn instant(self) -> Option<Timestamp> {
        match self {
            Self::Time(second, _) => Some(second.timestamp()),
            Self::Text(text) => text.parse().ok().or_else(|| in_beijing(text)),
            Self::Absent | Self::Known(_) => None,
        }
    }

    /// Appends it.
    pub(super) fn write(self, to: &mut Packing) {
        match self {
            Self::Absent => to.push(ABSENT),
            Self::Known(place) => to.push(FIRST_KNOWN + place),
            Self::Time(second, zone) => {
                to.push(TIME);
                to.extend(second.to_bytes());
                to.extend(zone.to_be_bytes());
            }
            Self::Text(text) => {
                match u8::try_from(text.len()).ok().filter(|length| *length < LONG - SHORT) {
                    Some(length) => to.push(SHORT + length),
                    None => {
                        let length = u16::try_from(text.len()).expect("no word is longer than 64 KiB");
                        to.push(LONG);
                        to.extend(length.to_be_bytes());
                    }
                }
                to.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Takes the first of those that were written.
    pub(super) fn read(from: &mut &'a [u8]) -> Self {
        match take::<1>(from) {
            [ABSENT] => Self::Absent,
            [TIME] => Self::Time(Second::from_bytes(take(from)), QuarterHours::from_be_bytes(take(from))),
            [known] if known < TIME => Self::Known(known - FIRST_KNOWN),
            [LONG] => {
                let length = u16::from_be_bytes(take(from)).into();
                Self::Text(text(from, length))
            }
            [short] => Self::Text(text(from, usize::from(short - SHORT))),
        }
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = from.split_first_chunk().expect("what was written is read whole");
    *from = rest;
    *taken
}

fn text<'a>(from: &mut &'a [u8], length: usize) -> &'a str {
    let (taken, rest) = from.split_at(length);
    *from = rest;
    str::from_utf8(taken).expect("a text was written")
}

/// A time in whole seconds that is told as it came.
fn time(text: &str) -> Option<(Second, QuarterHours)> {
    if text.len() != LENGTH {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let moment = offset.to_timestamp(pieces.date().to_datetime(pieces.time()?)).ok()?;
    let (second, zone) = (Second::of(moment), QuarterHours::try_from(offset.seconds() / QUARTER_HOUR).ok()?);
    (print(second, zone)? == text.as_bytes()).then_some((second, zone))
}

/// A date and a time of day to the second without a zone, such as `2022-05-06 00:01:00`: the documentation shows no zone
/// but +08:00.
fn in_beijing(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok().filter(|_| text.len() >= "2022-05-06T00:01:00".len())?;
    let unzoned = pieces.offset().is_none() && pieces.time_zone_annotation().is_none();
    let time = pieces.time().filter(|_| unzoned)?;
    BEIJING.to_timestamp(pieces.date().to_datetime(time)).ok()
}

/// `None` where it takes another length, as in a year of five digits.
fn print(second: Second, zone: QuarterHours) -> Option<[u8; LENGTH]> {
    let offset = Offset::from_seconds(i32::from(zone) * QUARTER_HOUR).expect("it was that of a time");
    let mut printed = [0; LENGTH];
    let to = StdIoWrite(&mut printed[..]);
    DateTimePrinter::new().print_timestamp_with_offset(&second.timestamp(), offset, to).ok()?;
    Some(printed)
}

/// As of `2022-05-06T00:01:00+08:00`.
const LENGTH: usize = 25;

/// Seconds.
const QUARTER_HOUR: i32 = 15 * 60;

/// The zone of the cloud's times.
const BEIJING: Offset = Offset::constant(8);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(word: &str) -> usize {
        let mut packed = Packing::new();
        Packed::of(Some(word)).write(&mut packed);
        packed.len()
    }

    #[test]
    fn what_the_cloud_is_known_to_write_takes_little() {
        assert_eq!(["", "Running", "ExportImage"].map(size), [1, 1, 1]);
        assert_eq!(["2022-05-06T00:01:00+08:00", "1970-01-01T00:00:00+00:00"].map(size), [6, 6]);
        assert_eq!(["yesterday", "image-ybnz9qci2sahiqdl0001"].map(size), [10, 27]);
    }

    proptest! {
        #[test]
        fn every_word_is_told_as_it_came(
            words in prop::collection::vec(prop_oneof![
                ".{0,12}",
                ".{200,512}",
                prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
                "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}",
                "20[0-9]{2}-[01][0-9]-[0-2][0-9]T[012][0-9]:[0-5][0-9]:[0-6][0-9][+-][01][0-9]:(00|15|30|45)",
            ], 0..8),
        ) {
            let mut packed = Packing::new();
            words.iter().for_each(|word| Packed::of(Some(word)).write(&mut packed));
            let mut rest = &*packed;
            for word in &words {
                let told = Packed::read(&mut rest).told();
                prop_assert_eq!(told.as_deref(), Some(&**word).filter(|word| !word.is_empty()));
            }
            prop_assert!(rest.is_empty());
        }
    }
}
