//! A principal's sessions as text: what `cat` shows.
//!
//! ```text
//! session-index 1
//! 3fa85f6457174562b3fc2c963f66afa6 q83vEjRW 2026-03-14T09:26:53.589Z 2026-03-15T09:26:53.589Z
//! 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d 8zKq0a1P 2026-03-14T11:02:11.004Z -
//! @check 5d1c9f0e2b7a4c36
//! ```
//!
//! First and last line are those of a record. Between them is one line per session: its id, the
//! commit that listed it, when that was, and when the entry goes (`-` for never).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::format::{BAD_LINE, FormatError, Time, VERSION, lines_of, parse_time, with_check};
use super::name::RecordName;
use crate::clock::Timestamp;
use crate::store::{Commit, IndexChange, IndexEntry, PrincipalKey};
use crate::token::{CommitId, SessionId};

const FIRST_LINE: &str = "session-index ";

/// The sessions of one principal, those included whose entries have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List {
    entries: BTreeMap<SessionId, Listed>,
}

/// One line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) mark: CommitId,
    pub(super) added: Timestamp,
    /// When the entry goes by itself.
    pub(super) until: Option<Timestamp>,
}

impl Listed {
    fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn entry(&self, session: SessionId) -> IndexEntry {
        IndexEntry::new(session, self.mark, self.added)
    }
}

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn holds(&self, session: &SessionId) -> bool {
        self.entries.contains_key(session)
    }

    /// The entries that have not ended.
    pub(super) fn entries(&self, now: Timestamp) -> Vec<IndexEntry> {
        let counting = self.entries.iter().filter(|(_, listed)| listed.counts(now));
        counting
            .map(|(session, listed)| listed.entry(*session))
            .collect()
    }

    /// Whether the list has no room for what the commit adds to it.
    pub(super) fn is_full_for(
        &self,
        commit: &Commit,
        change: &IndexChange,
        now: Timestamp,
    ) -> bool {
        let IndexChange::Add {
            limit: Some(limit), ..
        } = change
        else {
            return false;
        };
        let others = self
            .entries
            .iter()
            .filter(|(session, listed)| **session != commit.session && listed.counts(now));
        others.count() >= *limit as usize
    }

    /// Does what a commit says about this principal.
    pub(super) fn apply(&mut self, principal: &PrincipalKey, commit: &Commit, now: Timestamp) {
        let changes = commit.index.iter();
        for change in changes.filter(|change| change.principal() == principal) {
            match change {
                IndexChange::Add { keep, .. } => {
                    let listed = Listed {
                        mark: commit.id,
                        added: now,
                        until: keep.map(|keep| now + keep),
                    };
                    self.insert(commit.session, listed);
                }
                IndexChange::Remove { .. } => {
                    self.entries.remove(&commit.session);
                }
            }
        }
    }

    pub(super) fn insert(&mut self, session: SessionId, listed: Listed) {
        self.entries.insert(session, listed);
    }

    /// Removes an entry if it is still the one that was seen.
    pub(super) fn forget(&mut self, stale: &IndexEntry) {
        let session = stale.session;
        if let Some(listed) = self.entries.get(&session)
            && listed.entry(session).is_same(stale)
        {
            self.entries.remove(&session);
        }
    }

    /// Drops the entries that have ended.
    pub(super) fn reclaim(&mut self, now: Timestamp) {
        self.entries.retain(|_, listed| listed.counts(now));
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &SessionId> {
        self.entries.keys()
    }

    pub(super) fn remove(&mut self, session: &SessionId) {
        self.entries.remove(session);
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}{VERSION}\n");
        for (session, listed) in &self.entries {
            let name = RecordName::of(session);
            let (name, mark, added) = (name.as_str(), listed.mark, Time(listed.added));
            // Writing to a string cannot fail.
            let _ = match listed.until {
                Some(until) => writeln!(text, "{name} {mark} {added} {}", Time(until)),
                None => writeln!(text, "{name} {mark} {added} -"),
            };
        }
        with_check(text)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut list = Self::default();
        for line in lines_of(bytes, FIRST_LINE)? {
            let (session, listed) = parse_line(line).ok_or(BAD_LINE)?;
            list.insert(session, listed);
        }
        Ok(list)
    }
}

fn parse_line(line: &str) -> Option<(SessionId, Listed)> {
    let mut words = line.split(' ');
    let name = RecordName::parse(words.next()?)?;
    let listed = Listed {
        mark: words.next()?.parse().ok()?,
        added: parse_time(words.next()?)?,
        until: match words.next()? {
            "-" => None,
            time => Some(parse_time(time)?),
        },
    };
    words.next().is_none().then_some((*name.session(), listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let listed = |until| Listed {
            mark: "q83vEjRW".parse().unwrap(),
            added: Timestamp::from_millis(1_000),
            until,
        };
        let mut list = List::default();
        let until = Timestamp::from_millis(86_401_000);
        list.insert(SessionId::from_bytes([0xAB; 16]), listed(Some(until)));
        list.insert(SessionId::from_bytes([0xCD; 16]), listed(None));
        let never = Timestamp::from_millis(u64::MAX);
        list.insert(SessionId::from_bytes([0xEF; 16]), listed(Some(never)));
        list
    }

    #[test]
    fn a_list_is_readable_text() {
        let text = list().to_text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "session-index 1");
        assert_eq!(
            lines[1..4],
            [
                "abababababababababababababababab q83vEjRW 1970-01-01T00:00:01.000Z \
                 1970-01-02T00:00:01.000Z",
                "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd q83vEjRW 1970-01-01T00:00:01.000Z -",
                "efefefefefefefefefefefefefefefef q83vEjRW 1970-01-01T00:00:01.000Z \
                 18446744073709551615",
            ]
        );
        assert!(lines[4].starts_with("@check "));
        assert_eq!(List::parse(text.as_bytes()), Ok(list()));
    }

    #[test]
    fn no_part_of_a_list_is_a_list() {
        let text = list().to_text();
        for end in 0..text.len() {
            let part = &text.as_bytes()[..end];
            assert!(
                matches!(List::parse(part), Err(FormatError::Damaged(_))),
                "{end}"
            );
        }
        let mut bytes = text.into_bytes();
        for position in 0..bytes.len() {
            bytes[position] ^= 1;
            assert!(List::parse(&bytes).is_err(), "{position}");
            bytes[position] ^= 1;
        }
    }

    #[test]
    fn lines_of_another_form_are_damage_and_a_later_version_is_not() {
        for line in [
            "",
            "x",
            "abababababababababababababababab q83vEjRW 1 - more",
            "@new line",
        ] {
            let text = with_check(format!("session-index 1\n{line}\n"));
            assert_eq!(List::parse(text.as_bytes()), Err(BAD_LINE), "{line}");
        }
        let later = with_check("session-index 2\nwho knows\n".to_owned());
        assert_eq!(List::parse(later.as_bytes()), Err(FormatError::Newer(2)));
        let record = with_check("session-record 1\n".to_owned());
        assert!(matches!(
            List::parse(record.as_bytes()),
            Err(FormatError::Damaged(_))
        ));
    }
}
