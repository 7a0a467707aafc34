//! Reads little-endian fields from bytes that may be shorter than they claim.

/// What is wrong at the cursor; the caller adds the file and the place.
pub(super) type Parsed<T> = Result<T, String>;

/// A position in a file's bytes.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// Bytes from the start of the file.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Parsed<&'a [u8]> {
        let rest = self.rest();
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len)).ok_or_else(|| {
            format!("{len} bytes are needed at byte {} and {} are left", self.at, rest.len())
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length and that many bytes.
    pub(super) fn string(&mut self) -> Parsed<&'a [u8]> {
        let len = self.u64()?;
        self.take(len)
    }

    /// A count of items of at least `item_bytes` each. One that the file cannot hold is refused here, before
    /// anybody allocates or loops for it.
    pub(super) fn count(&self, count: u64, item_bytes: usize) -> Parsed<usize> {
        let left = self.rest().len();
        usize::try_from(count).ok().filter(|count| *count <= left / item_bytes).ok_or_else(|| {
            format!("{count} items of at least {item_bytes} bytes are announced and {left} bytes are left")
        })
    }

    /// All that is left, without moving.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }
}
