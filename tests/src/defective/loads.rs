//! Defects of loads.

use session_runtime::store::Timestamp;
use session_runtime::store::{FieldName, Loaded, Record, Selection, StoredField};

use super::{Defect, DefectiveStore};

impl DefectiveStore {
    /// Answers a load of this record.
    pub(super) fn load_with_defect(
        &self,
        record: &Record,
        selection: &Selection<'_>,
        now: Timestamp,
    ) -> Option<Loaded> {
        let mut loaded = record.load(selection, now)?;
        let header = &mut loaded.header;
        match self.defect {
            Defect::LinkNotTold => header.link = None,
            Defect::PrincipalsNotTold => header.principals.clear(),
            Defect::PrincipalsHiddenWithField => {
                let fields = &record.fields;
                let is_there =
                    |name: &FieldName| fields.get(name).is_some_and(|field| is_live(field, now));
                header
                    .principals
                    .retain(|principal| is_there(&principal.field));
            }
            _ => {}
        }
        self.spoil_prefixed(&mut loaded.prefixed, record, selection, now);
        Some(loaded)
    }

    fn spoil_prefixed(
        &self,
        prefixed: &mut Vec<(FieldName, StoredField)>,
        record: &Record,
        selection: &Selection<'_>,
        now: Timestamp,
    ) {
        let any_prefix =
            |is_found: &dyn Fn(&str) -> bool| selection.prefixes.iter().any(|one| is_found(one));
        match self.defect {
            Defect::PrefixesIgnored => prefixed.clear(),
            Defect::NamesHiddenFromPrefixes => {
                let is_named = |name: &FieldName| selection.fields.iter().any(|f| f.name == name);
                prefixed.retain(|(name, _)| !is_named(name));
            }
            Defect::FieldsFoundUnasked if selection.prefixes.is_empty() => {
                *prefixed = found(record, |_, field| is_live(field, now));
            }
            Defect::PrefixTooWide => {
                *prefixed = found(record, |name, field| {
                    is_live(field, now)
                        && any_prefix(&|one| name.starts_with(one.trim_end_matches('/')))
                });
            }
            Defect::PrefixIsAPattern => {
                *prefixed = found(record, |name, field| {
                    is_live(field, now) && any_prefix(&|one| is_like(name, one))
                });
            }
            Defect::EndedFieldsFound => {
                *prefixed = found(record, |name, _| any_prefix(&|one| name.starts_with(one)));
            }
            Defect::FieldsFoundTwice => {
                let of = |prefix: &&str| {
                    found(record, |name, field| {
                        is_live(field, now) && name.starts_with(*prefix)
                    })
                };
                *prefixed = selection.prefixes.iter().flat_map(of).collect();
            }
            Defect::FieldsFoundBackwards => prefixed.reverse(),
            Defect::HundredFieldsFound => prefixed.truncate(100),
            Defect::DeadlinesFound => {
                for (name, field) in prefixed {
                    field.deadline = record.fields.get(name).and_then(|field| field.deadline);
                }
            }
            Defect::HeaderFound if any_prefix(&|one| one == "@") => {
                prefixed.push(("@".into(), StoredField::new("header".into(), None)));
            }
            _ => {}
        }
    }
}

fn is_live(field: &StoredField, now: Timestamp) -> bool {
    field.deadline.is_none_or(|deadline| now < deadline)
}

fn found(
    record: &Record,
    is_found: impl Fn(&str, &StoredField) -> bool,
) -> Vec<(FieldName, StoredField)> {
    let fields = record.fields.iter();
    let found = fields.filter(|(name, field)| is_found(name, field));
    found
        .map(|(name, field)| (name.clone(), StoredField::new(field.value.clone(), None)))
        .collect()
}

/// Whether the name begins with this pattern, as SQL reads it.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else {
        return true;
    };
    let rest = rest.as_str();
    match first {
        '%' => {
            let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            starts.into_iter().any(|at| is_like(&name[at..], rest))
        }
        '_' => {
            let mut name = name.chars();
            name.next().is_some() && is_like(name.as_str(), rest)
        }
        first => {
            let name = name.strip_prefix(first);
            name.is_some_and(|name| is_like(name, rest))
        }
    }
}
