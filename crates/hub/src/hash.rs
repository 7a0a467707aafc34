//! The hashes by which the hub names its files: SHA-256 of large ones, of small ones Git's SHA-1 of a blob.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a file's bytes should hash to; in hexadecimal digits it is the name of its blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    hex: String,
}

impl Expected {
    /// From an `ETag`; None where it is no hash.
    pub(crate) fn of_etag(etag: &str) -> Option<Self> {
        let hex = etag.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let is_hex = matches!(hex.len(), 40 | 64) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then_some(Self { hex })
    }

    /// In hexadecimal digits.
    pub(crate) fn hex(&self) -> &str {
        &self.hex
    }

    /// Its name, for people.
    pub(crate) fn algorithm(&self) -> &'static str {
        if self.hex.len() == 64 { "SHA-256" } else { "Git SHA-1" }
    }

    /// Begins to hash a file of this many bytes.
    pub(crate) fn hasher(&self, bytes: u64) -> Hasher {
        match self.hex.len() {
            64 => Hasher::Sha256(Sha256::new()),
            _ => Hasher::Git(Sha1::new().chain_update(format!("blob {bytes}\0"))),
        }
    }
}

/// A hash under way.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    /// In hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hasher) => digits(&hasher.finalize()),
            Self::Git(hasher) => digits(&hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'hello\n' | sha256sum` and `printf 'hello\n' | git hash-object --stdin`.
    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        for (etag, algorithm) in [
            ("\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"", "SHA-256"),
            ("W/\"ce013625030ba8dba906f756967f9e9ca394464a\"", "Git SHA-1"),
        ] {
            let expected = Expected::of_etag(etag).unwrap();
            let mut hasher = expected.hasher(6);
            hasher.update(b"hel");
            hasher.update(b"lo\n");
            assert_eq!((hasher.finish().as_str(), expected.algorithm()), (expected.hex(), algorithm));
        }
        for other in
            ["", "\"abc\"", "../../x", "\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be0/\""]
        {
            assert_eq!(Expected::of_etag(other), None);
        }
    }
}
