//! The contents of a guard: the schema's value, the bytes that it was decoded from, and the requests
//! of its handler that the request's state does not have yet.

use std::sync::Arc;

use bytes::Bytes;

use crate::schema::{Encoded, FieldReader, FieldSpec, FieldWriter, Merge, SessionSchema, Slot};
use crate::timeouts::Timeouts;

use super::field::FieldChange;

/// A schema's value on loan to a handler.
pub(crate) struct Loan<T> {
    pub(crate) value: T,
    /// The bytes that the fields were decoded from; `None` where a field was absent or did not
    /// decode.
    shown: Vec<Option<Bytes>>,
    /// The value before the handler could change it, as far as it differs from `shown`; `None` while
    /// the handler has not asked for a mutable reference.
    baseline: Option<Encoded>,
    asks: Vec<(usize, Ask)>,
    pub(crate) wants: SessionWants,
    /// Which session of the request the value belongs to.
    pub(super) generation: u32,
}

/// A change that a handle asked for.
pub(super) enum Ask {
    /// This value, whatever the store holds.
    Overwrite(Bytes),
    /// A restart of the time to live.
    Renew,
    /// No value.
    Remove,
}

/// Changes of the session as a whole that a handler asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionWants {
    pub(crate) rotate: bool,
    pub(crate) persistent: Option<bool>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) label: Option<Arc<str>>,
}

impl SessionWants {
    pub(super) fn is_empty(&self) -> bool {
        !self.rotate && self.persistent.is_none() && self.timeouts.is_none() && self.label.is_none()
    }

    /// Adds what was asked for later.
    pub(super) fn add(&mut self, later: Self) {
        self.rotate |= later.rotate;
        self.persistent = later.persistent.or(self.persistent);
        self.timeouts = later.timeouts.or(self.timeouts);
        self.label = later.label.or(self.label.take());
    }
}

/// The changes that a loan asks for, ready to be taken over by the request.
pub(super) struct Handed<'a> {
    shown: &'a [Option<Bytes>],
    baseline: Option<&'a Encoded>,
    changes: Option<Encoded>,
    defaults: Option<Encoded>,
    asks: Vec<(usize, Ask)>,
    wants: SessionWants,
}

/// One thing that a loan asks for.
pub(super) enum HandedField<'a> {
    Asked(Ask),
    Changed(FieldChange<'a>),
    /// The value has no encoding, or one that does not give it back.
    Failed,
}

impl<T: SessionSchema> Loan<T> {
    /// A loan of what these bytes decode to, and which fields did not decode.
    pub(super) fn new(shown: Vec<Option<Bytes>>, generation: u32) -> (Self, Vec<usize>) {
        let mut fields = FieldReader::new(&shown);
        let value = T::read(&mut fields);
        let undecodable = fields.undecodable();
        let mut loan = Self {
            value,
            shown,
            baseline: None,
            asks: Vec::new(),
            wants: SessionWants::default(),
            generation,
        };
        for &index in &undecodable {
            loan.shown[index] = None;
        }
        (loan, undecodable)
    }

    /// The value, to be changed.
    pub(crate) fn value_mut(&mut self) -> &mut T {
        self.begin_changes();
        &mut self.value
    }

    /// Shows other bytes of all fields and forgets what was asked for. Answers which did not decode.
    pub(super) fn show(&mut self, shown: Vec<Option<Bytes>>, generation: u32) -> Vec<usize> {
        self.shown = shown;
        self.generation = generation;
        self.forget();
        let mut fields = FieldReader::new(&self.shown);
        for index in 0..T::FIELDS.len() {
            self.value.read_field(index, &mut fields);
        }
        let undecodable = fields.undecodable();
        for &index in &undecodable {
            self.shown[index] = None;
        }
        undecodable
    }

    /// Shows other bytes of one field; what else was changed stays.
    pub(super) fn show_field(&mut self, index: usize, shown: Option<Bytes>) {
        self.shown[index] = shown;
        self.read_field(index);
    }

    /// Forgets what was asked for, changes of the value included.
    pub(crate) fn forget(&mut self) {
        self.baseline = None;
        self.asks.clear();
        self.wants = SessionWants::default();
    }

    /// Asks for a value whatever the store holds, and shows it.
    pub(crate) fn overwrite(&mut self, index: usize, value: Bytes) {
        self.begin_changes();
        let before = self.shown[index].replace(value.clone());
        self.read_field(index);
        self.shown[index] = before;
        self.asks.push((index, Ask::Overwrite(value)));
    }

    /// Asks for no value, and shows the default.
    pub(crate) fn remove(&mut self, index: usize) {
        self.begin_changes();
        let before = self.shown[index].take();
        self.read_field(index);
        self.shown[index] = before;
        self.asks.push((index, Ask::Remove));
    }

    /// Asks for the time to live to restart.
    pub(crate) fn renew(&mut self, index: usize) {
        self.asks.push((index, Ask::Renew));
    }

    /// Whether anything is asked for.
    pub(super) fn asks_for_anything(&self) -> bool {
        let changed = self.changes();
        let is_changed = |slot: &Slot| *slot != Slot::Unchanged;
        !self.asks.is_empty()
            || !self.wants.is_empty()
            || changed.is_some_and(|changes| changes.slots().iter().any(is_changed))
    }

    /// All that is asked for.
    pub(super) fn hand_over(&mut self) -> Handed<'_> {
        let wants = std::mem::take(&mut self.wants);
        let asks = std::mem::take(&mut self.asks);
        self.handed(asks, wants)
    }

    /// The changes of one field.
    pub(super) fn hand_over_field(&mut self, index: usize) -> Handed<'_> {
        let (asks, others) = std::mem::take(&mut self.asks)
            .into_iter()
            .partition(|(asked, _)| *asked == index);
        self.asks = others;
        self.handed(asks, SessionWants::default())
    }

    fn handed(&mut self, asks: Vec<(usize, Ask)>, wants: SessionWants) -> Handed<'_> {
        let changes = self.changes();
        let merges = |(spec, slot): (&FieldSpec, &Slot)| {
            matches!(spec.merge, Merge::Integer { .. }) && *slot != Slot::Unchanged
        };
        let needs_defaults = changes
            .as_ref()
            .is_some_and(|changes| T::FIELDS.iter().zip(changes.slots()).any(merges));
        Handed {
            shown: &self.shown,
            baseline: self.baseline.as_ref(),
            changes,
            defaults: needs_defaults.then(defaults::<T>),
            asks,
            wants,
        }
    }

    fn changes(&self) -> Option<Encoded> {
        let baseline = self.baseline.as_ref()?;
        let mut writer = FieldWriter::changes(&self.shown, baseline);
        self.value.write(&mut writer);
        Some(writer.finish())
    }

    fn begin_changes(&mut self) {
        if self.baseline.is_none() {
            let mut writer = FieldWriter::baseline(&self.shown);
            self.value.write(&mut writer);
            self.baseline = Some(writer.finish());
        }
    }

    /// Decodes one field again, which then counts as unchanged.
    fn read_field(&mut self, index: usize) {
        let mut fields = FieldReader::new(&self.shown);
        self.value.read_field(index, &mut fields);
        if let Some(baseline) = &mut self.baseline {
            let encoded = encode(&self.value);
            baseline.replace(index, &encoded);
        }
    }
}

impl Handed<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty() && self.wants.is_empty() && self.changed().next().is_none()
    }

    /// Takes out the changes of the session as a whole.
    pub(super) fn take_wants(&mut self) -> SessionWants {
        std::mem::take(&mut self.wants)
    }

    /// The changes of fields, by index: those asked for by handles first, then those of the value.
    pub(super) fn fields(&mut self) -> impl Iterator<Item = (usize, HandedField<'_>)> {
        let asks = std::mem::take(&mut self.asks).into_iter();
        let asked = asks.map(|(index, ask)| (index, HandedField::Asked(ask)));
        asked.chain(self.changed())
    }

    fn changed(&self) -> impl Iterator<Item = (usize, HandedField<'_>)> {
        let slots = self.changes.iter().flat_map(Encoded::slots).enumerate();
        slots.filter_map(|(index, slot)| {
            let to = match slot {
                Slot::Unchanged => return None,
                Slot::Failed => return Some((index, HandedField::Failed)),
                Slot::Absent => None,
                // A copy, because a store may keep it for long: a part of the buffer would keep
                // all of it.
                Slot::Present(_) => {
                    let changes = self.changes.as_ref()?;
                    Some(Bytes::copy_from_slice(changes.value(index)?))
                }
            };
            let change = FieldChange {
                from: self.from(index),
                to,
                default: self.defaults.as_ref().and_then(|all| all.value(index)),
            };
            Some((index, HandedField::Changed(change)))
        })
    }

    /// The value that the handler's changes started from.
    fn from(&self, index: usize) -> Option<&[u8]> {
        let baseline = self.baseline?;
        match baseline.slots().get(index) {
            Some(Slot::Unchanged) => self.shown.get(index)?.as_deref(),
            _ => baseline.value(index),
        }
    }
}

/// Every field of a value.
pub(crate) fn encode<T: SessionSchema>(value: &T) -> Encoded {
    let mut writer = FieldWriter::all();
    value.write(&mut writer);
    writer.finish()
}

/// Every field as it is in a session that holds nothing.
pub(super) fn defaults<T: SessionSchema>() -> Encoded {
    let nothing = vec![None; T::FIELDS.len()];
    encode(&T::read(&mut FieldReader::new(&nothing)))
}
