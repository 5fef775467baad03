//! The durability of an answered commit.

/// The durability of an answered commit: the failures that it survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, however it ends. After a power cut or a crash of the system the last
    /// seconds may be missing, logouts among them, and a record written in them may be damaged. A
    /// session whose visitor signed in during them may be there and not be listed until the next
    /// sweep.
    #[default]
    ProcessCrash,
    /// A power cut as well. Each commit waits until the disk has the file and its name.
    PowerLoss,
}
