//! The derive in a program that knows `session-runtime` by another name.

/// A schema with options of every kind that names something of the runtime.
#[derive(sessions::Session, Debug)]
#[session(crate = sessions)]
pub struct Renamed<T> {
    /// Names `Renew` and a time to live.
    #[session(ttl = "5m", renew = "read")]
    pub note: Option<T>,
    /// Names `Merge`, `MergeOperation` and `Integer`.
    #[session(merge = "add")]
    pub visits: u32,
    /// Names the traits behind default values and codecs.
    #[session(codec = sessions::Postcard, merge = "first")]
    pub landed_on: String,
}

#[cfg(test)]
mod tests {
    use sessions::SessionSchema;

    use super::Renamed;

    #[test]
    fn the_schema_is_there() {
        assert_eq!(Renamed::<u8>::NAME, "renamed");
        assert_eq!(Renamed::<u8>::FIELDS.len(), 3);
        assert_eq!(Renamed::<u8>::VISITS.name(), "renamed.visits");
    }
}
