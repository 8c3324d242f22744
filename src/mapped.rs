//! Files mapped into memory: the one place outside `gpu` that is not checked by the compiler.

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// A file's bytes as they lie in the system's page cache, read when they are touched. The file must be one that this program
/// never changes or shortens once it has its name: it is written under another one and renamed.
///
/// # Errors
/// The system's, and where the file is empty on systems that map no empty file.
pub(crate) fn read_only(file: &File) -> io::Result<Mmap> {
    // SAFETY: the caller's file is complete when it is opened and not written again: writers make another file and rename it,
    // and what they remove stays readable for who has mapped it. Only a foreign process that shortens the file in place could
    // take pages away, as it could the pages of the program itself.
    unsafe { Mmap::map(file) }
}
