use super::*;
use crate::testing::Case;

#[test]
fn every_word_is_read_once() {
    for (words4, groups) in [(4, 1), (4 * 1001, 3), (64, 40)] {
        let mut case = Case::new();
        let bytes = case.random_bytes(words4 * 16);
        let source = case.values(&bytes);
        let checksum = case.words(&vec![0; groups]);
        let dispatch = dispatch(source, checksum, groups as u32);
        let total = |words: Vec<u32>| words.into_iter().fold(0u32, u32::wrapping_add);
        let expected = bytes
            .chunks(4)
            .fold(0u32, |sum, b| sum.wrapping_add(u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        assert_eq!(total(case.reference_words(&dispatch, checksum)), expected);
        if let Some(words) = case.device_words(&dispatch, checksum) {
            assert_eq!(total(words), expected);
        }
    }
}
